//! `GET /metrics`, for Prometheus: what the parts of the server count, gathered when somebody asks for it.
//!
//! The parts keep plain numbers ([`Figures`]), and know nothing of Prometheus; here they get its form. It is served on an address of
//! its own, away from what devices reach.

mod backups;
mod blobs;
mod encode;
mod listener;
mod process;
mod purges;

use std::sync::Arc;

use mosaic_application::nudges::Subscriptions;
use mosaic_ports::{Figure, Figures, Reading, Series};

pub(crate) use self::backups::BackupFigures;
pub(crate) use self::blobs::CountedBlobs;
pub(crate) use self::encode::MEDIA_TYPE;
pub(crate) use self::listener::MetricsServer;
pub(crate) use self::process::ProcessFigures;
pub(crate) use self::purges::PurgeFigures;

/// All figures of a server.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<[Arc<dyn Figures>]>);

impl Metrics {
    /// Those that these keep.
    pub(crate) fn of(sources: impl IntoIterator<Item = Arc<dyn Figures>>) -> Self {
        Self(sources.into_iter().collect())
    }

    /// All of them at this moment, in Prometheus' form. It may look at files: for a thread that may block.
    pub(crate) fn text(&self) -> String {
        encode::text(self.0.iter().flat_map(|source| source.figures()).collect())
    }
}

/// What is known of the server as a whole.
pub(crate) struct ServerFigures(pub(crate) Arc<Subscriptions>);

impl Figures for ServerFigures {
    fn figures(&self) -> Vec<Figure> {
        let version = ("version", env!("CARGO_PKG_VERSION").into());
        let Self(subscriptions) = self;
        vec![
            Figure::new(
                "mosaic_build_info",
                "The version of the server",
                [Series::new([version], Reading::Gauge(1))],
            ),
            Figure::gauge(
                "mosaic_listeners",
                "Connections that listen for changes",
                subscriptions.listeners() as u64,
            ),
        ]
    }
}
