//! Asking an app, as its users do.

use std::time::Duration;

use super::BoxError;

/// The present answer of a host.
pub(super) async fn get(port: u16, host: &str) -> Result<(u16, String), BoxError> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let request = client.get(format!("http://127.0.0.1:{port}/")).header("Host", format!("{host}:{port}"));
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}
