//! What the edge counts: requests by route, and what came of them. One for the whole process, shared by its workers.
//!
//! What is counted here and not in the use cases is what the answers say: everything that a server does for devices passes here
//! ([ADR 36](../../../docs/adr/0036-counted-where-it-is-known.md)). Labels are the program's own words, so that nobody who sends
//! requests can add any: a path that is no route counts as `unknown`, a method that no route has as `other`.

mod routes;

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use mosaic_domain::pull::PullPage;
use mosaic_domain::{EntityType, PerEntity};
use mosaic_ports::{Counter, Figure, Figures, Label, Reading, Series};

pub(crate) use self::routes::RouteFigures;
use self::routes::Routes;
use crate::problem::ProblemCode;

/// The figures. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct HttpFigures(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    routes: Routes,
    begun: Counter,
    answered: Counter,
    abandoned: Counter,
    problems: ByCode,
    pulls_at_rest: Counter,
    pulls_of_pages: Counter,
    pulled: PerEntity<Counter>,
    pushes: Counter,
    pushed: PerEntity<[Counter; RecordOutcome::ALL.len()]>,
    nudges: Counter,
    refused_logins: ByCode,
    uploads_begun: [Counter; Road::ALL.len()],
    uploads_stored: [Counter; Road::ALL.len()],
}

/// What can become of a record that a device pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordOutcome {
    Applied,
    Unchanged,
    Superseded,
    Rejected,
}

impl RecordOutcome {
    const ALL: [Self; 4] = [Self::Applied, Self::Unchanged, Self::Superseded, Self::Rejected];

    const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
        }
    }
}

/// How the bytes of a file come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// In one request.
    Form,
    /// In several requests.
    Tus,
    /// Past the server.
    Direct,
}

impl Road {
    const ALL: [Self; 3] = [Self::Form, Self::Tus, Self::Direct];

    const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Tus => "tus",
            Self::Direct => "direct",
        }
    }
}

/// A counter for each code of a problem.
#[derive(Debug)]
struct ByCode(Box<[Counter]>);

impl Default for ByCode {
    fn default() -> Self {
        Self(ProblemCode::ALL.iter().map(|_| Counter::default()).collect())
    }
}

impl ByCode {
    fn of(&self, code: ProblemCode) -> &Counter {
        // In the order of their definition, which is that of all of them.
        &self.0[code as usize]
    }

    /// Those that have occurred, and these.
    fn series(&self, always: &[ProblemCode]) -> Vec<Series> {
        let counted = ProblemCode::ALL.iter().zip(&self.0);
        counted
            .filter(|(code, counter)| counter.get() > 0 || always.contains(code))
            .map(|(code, counter)| counted_by([("code", code.code().into())], counter))
            .collect()
    }
}

fn counted_by<const N: usize>(labels: [Label; N], counter: &Counter) -> Series {
    Series::new(labels, Reading::Counter(counter.get()))
}

impl HttpFigures {
    /// The figures of a path of the router, for each of these methods.
    pub(crate) fn route(&self, path: &str, methods: &[&str]) -> RouteFigures {
        self.0.routes.of(path, methods)
    }

    /// A request has come. Nobody knows yet to which route.
    pub(crate) fn begin(request: Option<&Self>) -> Option<Running> {
        let figures = request?.clone();
        figures.0.begun.add(1);
        Some(Running {
            figures,
            is_answered: false,
        })
    }

    /// A request is answered with this problem.
    pub(crate) fn note_problem(request: &HttpRequest, code: ProblemCode) {
        if let Some(Self(counted)) = request.app_data() {
            counted.problems.of(code).add(1);
        }
    }

    /// A device was served this.
    pub(crate) fn pulled(&self, page: &PullPage) {
        let mut records = 0;
        for (entity, page) in page.types.iter() {
            let more = page.as_ref().map_or(0, |page| page.records.len() as u64);
            self.0.pulled[entity].add(more);
            records += more;
        }
        let is_at_rest = records == 0 && page.reset.iter().next().is_none();
        let pulls = if is_at_rest {
            &self.0.pulls_at_rest
        } else {
            &self.0.pulls_of_pages
        };
        pulls.add(1);
    }

    /// A push was carried out.
    pub(crate) fn pushed(&self) {
        self.0.pushes.add(1);
    }

    /// This became of a record of a push.
    pub(crate) fn pushed_record(&self, entity: EntityType, outcome: RecordOutcome) {
        self.0.pushed[entity][outcome as usize].add(1);
    }

    /// A device that listens is told of its user's clock.
    pub(crate) fn nudged(&self) {
        self.0.nudges.add(1);
    }

    /// A login was refused, for this reason.
    pub(crate) fn login_refused(&self, code: ProblemCode) {
        self.0.refused_logins.of(code).add(1);
    }

    /// An upload that needs several requests has begun.
    pub(crate) fn upload_begun(&self, road: Road) {
        self.0.uploads_begun[road as usize].add(1);
    }

    /// All bytes of a file have come, and are those of a resource.
    pub(crate) fn upload_stored(&self, road: Road) {
        self.0.uploads_stored[road as usize].add(1);
    }
}

/// A request that is being handled.
#[derive(Debug)]
pub(crate) struct Running {
    figures: HttpFigures,
    is_answered: bool,
}

impl Running {
    /// The head of its answer is made, after that time. `None`: nobody knows the request any more.
    pub(crate) fn answered(mut self, request: Option<&HttpRequest>, status: StatusCode, took: Duration) {
        self.is_answered = true;
        self.figures.0.routes.answered(request, status, took);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let counted = &self.figures.0;
        if self.is_answered {
            counted.answered.add(1);
        } else {
            counted.abandoned.add(1);
        }
    }
}

impl Figures for HttpFigures {
    fn figures(&self) -> Vec<Figure> {
        let counted = &self.0;
        // Read before what has begun: never more than that.
        let ended = counted.answered.get() + counted.abandoned.get();
        let running = counted.begun.get().saturating_sub(ended);
        let mut figures = counted.routes.figures();
        figures.extend([
            Figure::gauge(
                "mosaic_http_requests_in_flight",
                "Requests that are being handled; those whose answers are being sent are not among them",
                running,
            ),
            Figure::counter(
                "mosaic_http_requests_abandoned_total",
                "Requests whose clients hung up before they were answered",
                &counted.abandoned,
            ),
            Figure::new(
                "mosaic_http_problems_total",
                "Answers that are problems, by their code",
                counted
                    .problems
                    .series(&[ProblemCode::Internal, ProblemCode::Unavailable]),
            ),
        ]);
        figures.extend(counted.of_sync());
        figures.extend(counted.of_uploads());
        figures
    }
}

impl Counted {
    fn of_sync(&self) -> [Figure; 7] {
        let kind = |kind: &'static str, counter| counted_by([("kind", kind.into())], counter);
        [
            Figure::new(
                "mosaic_pulls_total",
                "Pulls that were served: of devices at rest, which there is nothing for, and of pages",
                [
                    kind("rest", &self.pulls_at_rest),
                    kind("page", &self.pulls_of_pages),
                ],
            ),
            Figure::new(
                "mosaic_pulled_records_total",
                "Records that pulls have served, tombstones included",
                self.pulled
                    .iter()
                    .map(|(entity, counter)| counted_by([("entity", entity.name().into())], counter)),
            ),
            Figure::counter(
                "mosaic_pushes_total",
                "Pushes that were carried out",
                &self.pushes,
            ),
            Figure::new(
                "mosaic_pushed_records_total",
                "Records that came with pushes, by what became of them",
                self.pushed.iter().flat_map(|(entity, outcomes)| {
                    RecordOutcome::ALL
                        .into_iter()
                        .zip(outcomes)
                        .map(move |(outcome, counter)| {
                            let labels = [
                                ("entity", entity.name().into()),
                                ("outcome", outcome.name().into()),
                            ];
                            counted_by(labels, counter)
                        })
                }),
            ),
            Figure::of(
                "mosaic_conflicts_total",
                "Edits that lost to newer ones, in pushes and alone",
                Reading::Counter(self.conflicts()),
            ),
            Figure::counter(
                "mosaic_nudges_total",
                "Events that told a listening device of its user's clock, the first of each connection included",
                &self.nudges,
            ),
            Figure::new(
                "mosaic_login_failures_total",
                "Logins that were refused, by the code of the problem",
                self.refused_logins
                    .series(&[ProblemCode::BadCredentials, ProblemCode::RateLimited]),
            ),
        ]
    }

    fn conflicts(&self) -> u64 {
        let superseded =
            |(_, outcomes): (_, &[Counter; 4])| outcomes[RecordOutcome::Superseded as usize].get();
        let pushed: u64 = self.pushed.iter().map(superseded).sum();
        pushed + self.problems.of(ProblemCode::Superseded).get()
    }

    fn of_uploads(&self) -> [Figure; 2] {
        let by_road = |counters: &[Counter; 3], without: Option<Road>| {
            let roads = Road::ALL.into_iter().zip(counters);
            roads
                .filter(|(road, _)| Some(*road) != without)
                .map(|(road, counter)| counted_by([("road", road.name().into())], counter))
                .collect::<Vec<_>>()
        };
        [
            Figure::new(
                "mosaic_uploads_begun_total",
                "Uploads in several requests that have begun",
                by_road(&self.uploads_begun, Some(Road::Form)),
            ),
            Figure::new(
                "mosaic_uploads_stored_total",
                "Files whose bytes have all come and belong to a resource, by how they came",
                by_road(&self.uploads_stored, None),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted_under_their_own_names() {
        let problems = ByCode::default();
        for code in ProblemCode::ALL {
            problems.of(*code).add(1);
        }
        let series = problems.series(&[]);
        let names: Vec<_> = series.iter().map(|series| series.labels[0].1.as_ref()).collect();
        let all: Vec<_> = ProblemCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(names, all);
    }
}
