//! Whose turn it is: how many requests of one user run at the same time, and how many of those that cost more than others.
//!
//! A request takes its permit before its body is read. Whoever gets none waits in line for a moment; the lines are by user, so
//! one who sends a thousand requests waits behind themselves and behind nobody else.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use mosaic_application::concurrency::{ConcurrencyLimiter, ConcurrencyLimits, Permit};
use mosaic_domain::UserId;

use crate::budget::busy;
use crate::caller;
use crate::client_addr;
use crate::content_length::content_length;
use crate::limits::network;
use crate::problem::{Problem, ProblemCode};

/// So many requests wait for one permit at most.
const LINE: usize = 128;
/// A request waits for so long.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a client waits before it tries again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// So many files of one user come and go at the same time. Those that come are counted once more where they are stored.
const TRANSFERS: usize = 100;
/// So many answers of one user that take minutes are sent at the same time.
const EXPORTS: usize = 2;
/// So many requests from one network of somebody who is not signed in.
const STRANGERS: usize = 8;
/// From so many bytes on a push is a large one: a user's large pushes come one after the other.
pub(crate) const LARGE_PUSH: usize = 512 * 1024;

/// What a request takes besides a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Next to nothing, or it is limited elsewhere.
    Free,
    /// A few look-ups, or one write.
    Plain,
    /// It looks at much of what the user has.
    Heavy,
    /// It passes on a file.
    Transfer,
    /// Its answer goes on for minutes.
    Export,
    /// A few look-ups for somebody who is not signed in, once the body has come.
    Stranger,
}

impl Load {
    /// What a request can be refused with for what it takes: too many of them run, or the store can't look that up now.
    pub(crate) const fn problems(self) -> &'static [ProblemCode] {
        use ProblemCode as Code;
        match self {
            Self::Free => &[],
            Self::Heavy => &[
                Code::TooManyRequests,
                Code::Busy,
                Code::Unavailable,
                Code::TooSlow,
            ],
            Self::Plain | Self::Transfer | Self::Export | Self::Stranger => {
                &[Code::TooManyRequests, Code::Unavailable, Code::TooSlow]
            }
        }
    }
}

/// How many requests run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Of one user.
    pub per_user: usize,
    /// Of one user, that look at much of what the user has: so many, and at most half of [`Self::heavy`], so that nobody waits for one
    /// user alone.
    pub heavy_per_user: usize,
    /// Of all users, that look at much.
    pub heavy: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            per_user: 8,
            heavy_per_user: 2,
            heavy: 2,
        }
    }
}

/// The permits and the lines: one for the whole process, shared by its workers. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    users: ConcurrencyLimiter<UserId>,
    heavy_of_user: ConcurrencyLimiter<UserId>,
    heavy: ConcurrencyLimiter<()>,
    large_pushes: ConcurrencyLimiter<UserId>,
    transfers: ConcurrencyLimiter<UserId>,
    exports: ConcurrencyLimiter<UserId>,
    networks: ConcurrencyLimiter<IpAddr>,
}

impl Admission {
    /// Permits for nobody so far.
    pub(crate) fn new(limits: RequestLimits) -> Self {
        let permits = |running, waiting| ConcurrencyLimits {
            running,
            waiting,
            patience: WAIT_MAX,
        };
        Self {
            users: ConcurrencyLimiter::new(permits(limits.per_user, LINE)),
            heavy_of_user: ConcurrencyLimiter::new(permits(
                limits.heavy_per_user.min((limits.heavy / 2).max(1)),
                // An app that asks for every day of a month at once is not refused.
                LINE,
            )),
            // Each user has so few of them that this line is never longer than the number of users.
            heavy: ConcurrencyLimiter::new(permits(limits.heavy, usize::MAX)),
            large_pushes: ConcurrencyLimiter::new(permits(1, LINE / 4)),
            transfers: ConcurrencyLimiter::new(permits(TRANSFERS, LINE)),
            exports: ConcurrencyLimiter::new(permits(EXPORTS, EXPORTS)),
            networks: ConcurrencyLimiter::new(permits(STRANGERS, LINE * 4)),
        }
    }

    /// A permit for a push of so many bytes, if it is a large one: until its permit is dropped no other large one of this user is
    /// carried out.
    ///
    /// # Errors
    /// 429 `too_many_requests`.
    pub(crate) async fn push(
        request: &HttpRequest,
        user: UserId,
        bytes: usize,
    ) -> Result<Option<Permit<UserId>>, Problem> {
        match request.app_data::<Self>() {
            Some(admission) if bytes >= LARGE_PUSH => {
                let permit = admission.large_pushes.enter(user).await;
                permit.map(Some).map_err(|_| too_many())
            }
            _ => Ok(None),
        }
    }

    /// A permit among those of a network.
    async fn stranger(&self, request: &HttpRequest) -> Result<Permit<IpAddr>, Problem> {
        let network = network(client_addr::of(request));
        self.networks.enter(network).await.map_err(|_| too_many())
    }

    /// Takes the permit of somebody who is not signed in, once the body has come: whoever sends half of one would else keep everybody
    /// in the same network from logging in. It is kept for as long as the request is handled.
    ///
    /// # Errors
    /// 429 `too_many_requests`.
    pub(crate) async fn after_body(request: &HttpRequest) -> Result<(), Problem> {
        let is_due = request.extensions_mut().remove::<TakesPlaceAfterBody>().is_some();
        if let Some(admission) = request.app_data::<Self>().filter(|_| is_due) {
            let permit = admission.stranger(request).await?;
            request.extensions_mut().insert(StrangersPermit(permit));
        }
        Ok(())
    }

    /// Waits for the permits that a request needs.
    async fn enter(&self, load: Load, request: &HttpRequest) -> Result<Permits, Problem> {
        let mut permits = Permits::default();
        if load == Load::Free {
            return Ok(permits);
        }
        if load == Load::Stranger {
            if has_body(request) {
                request.extensions_mut().insert(TakesPlaceAfterBody);
            } else {
                permits.network = Some(self.stranger(request).await?);
            }
            return Ok(permits);
        }
        let user = caller::authenticate(request)?.0.user;
        let own = |limiter: &ConcurrencyLimiter<UserId>| {
            let limiter = limiter.clone();
            async move { limiter.enter(user).await.map_err(|_| too_many()) }
        };
        match load {
            Load::Transfer => permits.own.push(own(&self.transfers).await?),
            Load::Export => permits.own.push(own(&self.exports).await?),
            _ => {
                // The scarce ones first: whoever waits for them takes no other permit meanwhile.
                if load == Load::Heavy {
                    let own = own(&self.heavy_of_user).await?;
                    let shared = self.heavy.enter(()).await.map_err(|_| busy())?;
                    permits.heavy = Some((own, shared));
                }
                permits.own.push(own(&self.users).await?);
            }
        }
        Ok(permits)
    }
}

/// What a request of a stranger is marked with until its body has come.
#[derive(Debug)]
struct TakesPlaceAfterBody;

/// The permit that it has from then on.
#[derive(Debug)]
struct StrangersPermit(
    #[expect(dead_code, reason = "held until the request has been handled")] Permit<IpAddr>,
);

fn has_body(request: &HttpRequest) -> bool {
    request.headers().contains_key(header::TRANSFER_ENCODING)
        || content_length(request).is_some_and(|length| length > 0)
}

fn too_many() -> Problem {
    Problem::new(
        ProblemCode::TooManyRequests,
        "too many requests at the same time, try again in a moment",
    )
    .retry_after(AGAIN_AFTER)
}

/// What a request holds while it runs.
#[derive(Debug, Default)]
struct Permits {
    own: Vec<Permit<UserId>>,
    /// One of the user's and one of everybody's.
    heavy: Option<(Permit<UserId>, Permit<()>)>,
    network: Option<Permit<IpAddr>>,
}

/// Middleware, for a route: lets the request in when it is its turn. The user's own permit is theirs until the answer is sent; those
/// for what looks at much only until the answer begins, however slowly it is read.
///
/// # Errors
/// Those of the inner service.
pub(crate) async fn take<B: MessageBody + 'static>(
    load: Load,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<PermittedBody>, actix_web::Error> {
    let admission = request.app_data::<Admission>().cloned();
    let mut permits = match admission {
        None => Permits::default(),
        Some(admission) => match admission.enter(load, request.request()).await {
            Ok(permits) => permits,
            Err(problem) => {
                let refusal = request.into_response(HttpResponse::from_error(problem));
                return Ok(refusal.map_body(|_, body| PermittedBody::new(body, Permits::default())));
            }
        },
    };
    let response = next.call(request).await?;
    permits.heavy = None;
    Ok(response.map_body(|_, body| PermittedBody::new(body.boxed(), permits)))
}

/// A body that keeps its permits until it is sent or given up.
#[derive(Debug)]
pub(crate) struct PermittedBody {
    body: BoxBody,
    _permits: Permits,
}

impl PermittedBody {
    fn new(body: BoxBody, permits: Permits) -> Self {
        Self {
            body,
            _permits: permits,
        }
    }
}

impl MessageBody for PermittedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use super::*;
    use crate::api;

    #[test]
    fn half_of_the_permits_for_what_looks_at_much_are_for_others() {
        let user = UserId::new(uuid::Uuid::from_u128(1));
        for (heavy, heavy_per_user, most) in [(2, 2, 1), (8, 2, 2), (8, 9, 4), (1, 5, 1)] {
            let admission = Admission::new(RequestLimits {
                heavy_per_user,
                heavy,
                ..RequestLimits::default()
            });
            let held: Vec<_> = (0..most)
                .map(|_| admission.heavy_of_user.try_enter(user))
                .collect();
            assert!(held.iter().all(Result::is_ok), "{heavy}");
            assert!(admission.heavy_of_user.try_enter(user).is_err(), "{heavy}");
        }
    }

    /// Whatever may walk through all that a user has waits for a permit among those that do, whatever its query.
    #[test]
    fn reads_that_look_at_much_are_counted_as_such() {
        // The account, its devices, which are few, and what belongs to one record.
        const LIGHT: [&str; 3] = ["/auth/me", "/devices", "/revisions"];
        let table = api::table();
        let lists = table.loads().filter(|(method, path, _)| {
            **method == Method::GET
                && !path.ends_with('}')
                && !LIGHT.iter().any(|light| path.ends_with(light))
        });
        let plain: Vec<_> = lists.filter(|(.., load)| *load == Load::Plain).collect();
        assert!(plain.is_empty(), "{plain:?}");
        for path in ["/memos", "/memos/date/{date}", "/diaries/{date}", "/sync/digest"] {
            let load = table
                .loads()
                .find(|(method, of, _)| **method == Method::GET && *of == path);
            assert_eq!(load.unwrap().2, Load::Heavy, "{path}");
        }
    }
}
