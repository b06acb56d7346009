//! Figures for Prometheus, as a service would have them.

use keygate::http::metrics;
use keygate::manager::ApiKeyManager;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::support::Failure;

pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The recorder of this process, and the manager whose figures are told to it before it is read.
#[derive(Clone)]
pub(crate) struct Figures {
    manager: ApiKeyManager,
    recorder: PrometheusHandle,
}

impl Figures {
    /// From now on everything in this process that speaks to the `metrics` facade speaks to this recorder.
    pub(crate) fn install(manager: &ApiKeyManager) -> Result<Self, Failure> {
        Ok(Self { manager: manager.clone(), recorder: PrometheusBuilder::new().install_recorder()? })
    }

    pub(crate) fn text(&self) -> String {
        metrics::publish(&self.manager);
        self.recorder.render()
    }
}
