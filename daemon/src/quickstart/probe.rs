//! Asking an app, as its users do.

use std::{net::SocketAddr, time::Duration};

use super::BoxError;

/// The present answer of a host.
pub(super) async fn get(address: SocketAddr, host: &str) -> Result<(u16, String), BoxError> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let request =
        client.get(format!("http://{address}/")).header("Host", format!("{host}:{}", address.port()));
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}
