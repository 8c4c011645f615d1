//! An embeddable platform-as-a-service engine.
