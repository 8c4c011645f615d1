//! Shapes of the API's JSON. They are not the engine's types: those may change, these may not.

mod app;
mod build_run;
pub(crate) mod command;
mod config;
mod page;
mod plan;
mod platform;
mod probe;
mod release;
mod user;

pub(crate) use app::{AppDto, DomainDto, PodDto};
pub(crate) use build_run::BuildRunDto;
pub(crate) use config::ConfigDto;
pub(crate) use page::PageDto;
pub(crate) use plan::PlanDto;
pub(crate) use platform::PlatformDto;
pub(crate) use probe::{HealthChecksDto, ProbeDto};
pub(crate) use release::{BuildDto, ReleaseDto};
pub(crate) use user::{KeyDto, UserDto};
