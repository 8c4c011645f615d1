//! What the platform says about itself.

use serde::Serialize;

use crate::api::PlatformInfo;

/// Domain, schemes and ports, as clients reach them.
#[derive(Debug, Serialize)]
pub(crate) struct PlatformDto {
    domain: String,
    schemes: Vec<String>,
    ports: PortsDto,
}

/// `ssh` is null where git has no SSH.
#[derive(Debug, Serialize)]
struct PortsDto {
    http: u16,
    ssh: Option<u16>,
}

impl From<&PlatformInfo> for PlatformDto {
    fn from(info: &PlatformInfo) -> Self {
        Self {
            domain: info.domain.clone(),
            schemes: info.schemes.clone(),
            ports: PortsDto { http: info.ports.http, ssh: info.ports.ssh },
        }
    }
}
