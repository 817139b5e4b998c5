//! Requests by route, method and status, and how long their answers took. A route knows its figures, so that counting a request
//! looks nothing up by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use mosaic_ports::{Counter, Figure, Histogram, Label, Reading, Series};

/// The methods that are called by their name.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// All others together.
const OTHER: &str = "other";
/// What is no route.
const UNKNOWN: &str = "unknown";

/// The figures of all routes.
#[derive(Debug)]
pub(super) struct Routes {
    known: Mutex<BTreeMap<String, RouteFigures>>,
    unknown: RouteFigures,
}

/// The figures of one route. A resource of the router has them among its data.
#[derive(Debug, Clone)]
pub(crate) struct RouteFigures(Arc<[MethodFigures]>);

/// The figures of one method of a route.
#[derive(Debug)]
struct MethodFigures {
    method: &'static str,
    statuses: Statuses,
    times: Histogram,
}

/// A counter for each status; a hundred of them once the first one is needed.
#[derive(Debug, Default)]
struct Statuses([OnceLock<Box<[Counter]>>; 5]);

impl Statuses {
    fn add(&self, status: StatusCode) {
        let (class, rest) = (
            usize::from(status.as_u16() / 100),
            usize::from(status.as_u16() % 100),
        );
        // Others are no statuses of HTTP.
        if let Some(counters) = class.checked_sub(1).and_then(|class| self.0.get(class)) {
            let counters = counters.get_or_init(|| (0..100).map(|_| Counter::default()).collect());
            counters[rest].add(1);
        }
    }

    /// Those that were answered with.
    fn counted(&self) -> impl Iterator<Item = (usize, u64)> {
        let classes = self.0.iter().enumerate();
        let all = classes.flat_map(|(class, counters)| {
            let counters = counters.get().into_iter().flatten().enumerate();
            counters.map(move |(rest, counter)| (100 * (class + 1) + rest, counter.get()))
        });
        all.filter(|(_, count)| *count > 0)
    }
}

impl RouteFigures {
    fn new(methods: impl IntoIterator<Item = &'static str>) -> Self {
        let of_method = |method| MethodFigures {
            method,
            statuses: Statuses::default(),
            times: Histogram::of_times(),
        };
        Self(methods.into_iter().map(of_method).collect())
    }

    fn of(&self, method: &str) -> Option<&MethodFigures> {
        self.0.iter().find(|figures| figures.method == method)
    }
}

impl MethodFigures {
    fn labels(&self, route: &str) -> [Label; 2] {
        [("method", self.method.into()), ("route", route.to_owned().into())]
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            unknown: RouteFigures::new(METHODS.into_iter().chain([OTHER])),
        }
    }
}

impl Routes {
    /// The figures of a path, the same for every worker. What answers `GET` answers `HEAD`, too.
    pub(super) fn of(&self, path: &str, methods: &[&str]) -> RouteFigures {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let is_of_it =
                |method: &&str| methods.contains(method) || (*method == "HEAD" && methods.contains(&"GET"));
            RouteFigures::new(METHODS.into_iter().filter(is_of_it))
        };
        known.entry(path.to_owned()).or_insert_with(make).clone()
    }

    /// Counts an answer.
    pub(super) fn answered(&self, request: Option<&HttpRequest>, status: StatusCode, took: Duration) {
        let method = request.map_or(OTHER, |request| request.method().as_str());
        let of_route = request.and_then(|request| request.app_data::<RouteFigures>());
        let of_method = of_route.and_then(|route| route.of(method));
        let of_unknown = || self.unknown.of(method).or_else(|| self.unknown.of(OTHER));
        if let Some(figures) = of_method.or_else(of_unknown) {
            figures.statuses.add(status);
            figures.times.took(took);
        }
    }

    /// What was asked for so far.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unknown = (UNKNOWN.to_owned(), self.unknown.clone());
        let (mut requests, mut times) = (Vec::new(), Vec::new());
        for (path, RouteFigures(methods)) in known.into_iter().chain([unknown]) {
            for figures in methods.iter().filter(|figures| figures.times.count() > 0) {
                let labels = figures.labels(&path);
                for (status, count) in figures.statuses.counted() {
                    let labels = labels
                        .clone()
                        .into_iter()
                        .chain([("status", status.to_string().into())]);
                    requests.push(Series::new(labels, Reading::Counter(count)));
                }
                times.push(Series::new(labels, figures.times.reading()));
            }
        }
        vec![
            Figure::new(
                "mosaic_http_requests_total",
                "Requests that were answered, by the pattern of their route",
                requests,
            ),
            Figure::new(
                "mosaic_http_request_duration_seconds",
                "How long requests took until the head of their answer was made",
                times,
            ),
        ]
    }
}
