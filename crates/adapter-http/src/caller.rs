//! Who makes a request: extractors for the access token, or the ticket that stands for it, and for the device.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderName};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use mosaic_application::AppError;
use mosaic_application::push::PushBy;
use mosaic_application::records::EditBy;
use mosaic_application::sessions::{Actor, Caller, Sessions, Shown, Ticket};
use mosaic_domain::header::{CLIENT_ID, CLIENT_TIME};
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId, Violation, Violations};
use mosaic_ports::Opens;
use uuid::Uuid;

use crate::access_log;
use crate::entities::Times;
use crate::extractor::Extractor;
use crate::field::Int;
use crate::problem::{Problem, ProblemCode};
use crate::state::AppState;
use crate::ticket;

/// A request of somebody who is signed in: `Authorization: Bearer`, of a login that goes on.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn(pub(crate) Caller);

impl SignedIn {
    /// Whose records the request is about.
    pub(crate) fn user(&self) -> UserId {
        self.0.user
    }

    /// Whose behalf it is on, by which login.
    pub(crate) fn actor(&self) -> Actor {
        (&self.0).into()
    }
}

impl FromRequest for SignedIn {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let signed_in = signed_in(request);
        Box::pin(async move { Ok(Self(signed_in.await?)) })
    }
}

/// The same, where it may be that the password must be changed first: for the few routes that are there for that.
#[derive(Debug, Clone)]
pub(crate) struct MayOwePassword(pub(crate) Caller);

impl FromRequest for MayOwePassword {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = authenticate(request);
        request.extensions_mut().insert(LoginRule::MayOwePassword);
        Box::pin(async move {
            let (caller, sessions) = caller?;
            sessions.check_but_password(&caller).await?;
            Ok(Self(caller))
        })
    }
}

/// Whoever pulls. The access token is good; whether the login goes on is looked at in the snapshot of the pull, so that a
/// pull at rest stays one look-up. For nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Puller(pub(crate) Caller);

impl FromRequest for Puller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        request.extensions_mut().insert(LoginRule::StoreLooks);
        ready(authenticate(request).map(|(caller, _)| Self(caller)))
    }
}

/// A request of somebody who is signed in, whose answer goes on for so long that the login may end meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct StaysSignedIn {
    shown: Shown,
    sessions: Sessions,
}

impl StaysSignedIn {
    /// Whose behalf it is on, by which login.
    pub(crate) fn actor(&self) -> Actor {
        (&self.shown.caller).into()
    }

    /// Whether the access token has not expired, or that which its ticket was asked for with.
    pub(crate) fn is_fresh(&self) -> bool {
        self.sessions.is_fresh(&self.shown)
    }

    /// A ticket with this id (L5).
    ///
    /// # Errors
    /// 500, when the key can't sign.
    pub(crate) fn ticket(&self, id: Uuid, opens: Opens) -> Result<Ticket, AppError> {
        self.sessions.ticket(&self.shown, id, opens)
    }

    /// Whether the login goes on. A store that is away for a while ends nothing.
    pub(crate) async fn goes_on(&self) -> bool {
        let checked = self.sessions.check(&self.shown.caller).await;
        !matches!(
            checked,
            Err(AppError::Unauthenticated(_) | AppError::PasswordChangeRequired)
        )
    }
}

impl FromRequest for StaysSignedIn {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let shown = shown(request);
        Box::pin(async move {
            let (shown, sessions) = shown?;
            sessions.check(&shown.caller).await?;
            Ok(Self { shown, sessions })
        })
    }
}

/// A request of an administrator.
#[derive(Debug, Clone)]
pub(crate) struct Administrator(pub(crate) Caller);

impl FromRequest for Administrator {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let signed_in = signed_in(request);
        Box::pin(async move {
            let caller = signed_in.await?;
            caller.require_admin()?;
            Ok(Self(caller))
        })
    }
}

/// Somebody who is signed in and edits records, from a device. The store looks at the login once more, under the lock of the
/// write.
#[derive(Debug, Clone)]
pub(crate) struct Editor {
    user: UserId,
    login: FamilyId,
    client: ClientId,
    client_time: Option<UnixMillis>,
    arrived_at: UnixMillis,
}

impl Editor {
    /// Whose records are edited.
    pub(crate) fn user(&self) -> UserId {
        self.user
    }

    /// This edit: made by this device, at the times that the request names.
    pub(crate) fn edit(&self, times: Times) -> EditBy {
        EditBy {
            user: self.user,
            login: Some(self.login),
            client: self.client.clone(),
            edit_time: times.updated_at,
            created_at: times.created_at,
            client_time: self.client_time,
            arrived_at: self.arrived_at,
        }
    }

    /// A push of many edits by the device that its body names. `client_time`: the device's clock, where the body tells it
    /// rather than the header.
    pub(crate) fn push(&self, client: ClientId, client_time: Option<UnixMillis>) -> PushBy {
        PushBy {
            user: self.user,
            login: Some(self.login),
            client,
            client_time: client_time.or(self.client_time),
            arrived_at: self.arrived_at,
        }
    }
}

impl FromRequest for Editor {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (signed_in, editor) = (signed_in(request), editor(request));
        request.extensions_mut().insert(LoginRule::StoreLooks);
        Box::pin(async move {
            signed_in.await?;
            editor
        })
    }
}

/// What becomes of a request without a login that goes on.
const NO_LOGIN: [ProblemCode; 5] = [
    ProblemCode::NotSignedIn,
    ProblemCode::InvalidToken,
    ProblemCode::TokenExpired,
    ProblemCode::LoginEnded,
    // Nobody knows whether it does.
    ProblemCode::Unavailable,
];

impl Extractor for MayOwePassword {
    fn problems() -> Vec<ProblemCode> {
        NO_LOGIN.to_vec()
    }
}

impl Extractor for SignedIn {
    fn problems() -> Vec<ProblemCode> {
        [&NO_LOGIN[..], &[ProblemCode::PasswordChangeRequired]].concat()
    }
}

impl Extractor for Puller {
    fn problems() -> Vec<ProblemCode> {
        SignedIn::problems()
    }
}

impl Extractor for StaysSignedIn {
    fn problems() -> Vec<ProblemCode> {
        SignedIn::problems()
    }
}

impl Extractor for Administrator {
    fn problems() -> Vec<ProblemCode> {
        [SignedIn::problems(), vec![ProblemCode::Forbidden]].concat()
    }
}

impl Extractor for Editor {
    fn problems() -> Vec<ProblemCode> {
        // The headers that name a device and its clock may be no such things; and there may be no room for what is written.
        let own = vec![ProblemCode::ValidationFailed, ProblemCode::StorageFull];
        [SignedIn::problems(), own].concat()
    }
}

fn editor(request: &HttpRequest) -> Result<Editor, Problem> {
    // Before the body is read: a slow network is no wrong clock (W6).
    let arrived_at = state(request)?.clock.now();
    let (caller, _) = authenticate(request)?;
    let mut violations = Violations::none();
    let named = header(request, CLIENT_ID, &mut violations, str::parse::<ClientId>);
    let client_time = header(request, CLIENT_TIME, &mut violations, parse_time);
    violations.into_result()?;
    let client = named.or(caller.client).unwrap_or_else(ClientId::unnamed);
    access_log::note_client(request, &client);
    Ok(Editor {
        user: caller.user,
        login: caller.family,
        client,
        client_time,
        arrived_at,
    })
}

/// The device that the request names in its header, if it names one.
///
/// # Errors
/// 422 `validation_failed` where that is no name.
pub(crate) fn named_device(request: &HttpRequest) -> Result<Option<ClientId>, Problem> {
    let mut violations = Violations::none();
    let named = header(request, CLIENT_ID, &mut violations, str::parse::<ClientId>);
    violations.into_result()?;
    Ok(named)
}

fn header<T>(
    request: &HttpRequest,
    name: &str,
    violations: &mut Violations,
    parse: impl FnOnce(&str) -> Result<T, Violation>,
) -> Option<T> {
    let value = request.headers().get(HeaderName::try_from(name).ok()?)?;
    let text =
        std::str::from_utf8(value.as_bytes()).map_err(|_| Violation::new("invalid_value", "must be UTF-8"));
    violations.check(name, text.and_then(parse))
}

fn parse_time(text: &str) -> Result<UnixMillis, Violation> {
    let Int(ms) = text.parse()?;
    UnixMillis::new(ms)
}

fn state(request: &HttpRequest) -> Result<&web::Data<AppState>, Problem> {
    request
        .app_data::<web::Data<AppState>>()
        .ok_or_else(|| Problem::internal("the app has no state"))
}

/// Who makes a request. Whether their login goes on is another question.
///
/// # Errors
/// 401, and what is wrong with the query that has a ticket.
pub(crate) fn authenticate(request: &HttpRequest) -> Result<(Caller, Sessions), Problem> {
    shown(request).map(|(shown, sessions)| (shown.caller, sessions))
}

/// Whether it is a ticket that shows who makes a request.
pub(crate) fn is_by_ticket(request: &HttpRequest) -> bool {
    request
        .extensions()
        .get::<Shown>()
        .is_some_and(|shown| shown.by_ticket)
}

/// Whose request it is, as far as that was asked for by now.
pub(crate) fn known(request: &HttpRequest) -> Option<UserId> {
    request.extensions().get::<Shown>().map(|shown| shown.caller.user)
}

/// Reads the access token or the ticket of a request, once: whoever lets the request in asks whose it is before, and a ticket
/// may be used by that.
fn shown(request: &HttpRequest) -> Result<(Shown, Sessions), Problem> {
    let sessions = &state(request)?.sessions;
    if let Some(known) = request.extensions().get::<Shown>() {
        return Ok((known.clone(), sessions.clone()));
    }
    let shown = match (bearer(request), ticket::of(request)?) {
        (Some(token), _) => sessions.read(token)?,
        (None, Some((ticket, opens))) => sessions.redeem(&ticket, opens)?,
        (None, None) => {
            return Err(Problem::new(
                ProblemCode::NotSignedIn,
                "the header `Authorization: Bearer` is missing",
            ));
        }
    };
    let caller = &shown.caller;
    access_log::note_user(request, &caller.user);
    if let Some(client) = &caller.client {
        access_log::note_client(request, client);
    }
    request.extensions_mut().insert(shown.clone());
    Ok((shown, sessions.clone()))
}

/// How a route looks at a login, where that is not the common way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoginRule {
    /// A password that must be changed is no hindrance.
    MayOwePassword,
    /// The store looks at it once more, with what is read or written.
    StoreLooks,
}

/// Looks once more whether the login of a request goes on, where it has one: bodies take their time to arrive.
///
/// # Errors
/// 401 and 403, or a store's error.
pub(crate) async fn check_again(request: &HttpRequest) -> Result<(), Problem> {
    let shown = request.extensions().get::<Shown>().cloned();
    let Some(Shown { caller, .. }) = shown else {
        return Ok(());
    };
    let sessions = &state(request)?.sessions;
    let may_owe = request.extensions().get() == Some(&LoginRule::MayOwePassword);
    if may_owe {
        sessions.check_but_password(&caller).await?;
    } else {
        sessions.check(&caller).await?;
    }
    Ok(())
}

/// After a body that was waited for: a login that ended meanwhile, and that the store does not look at, does nothing any more (L1).
///
/// # Errors
/// As [`check_again`].
pub(crate) async fn check_after_wait(request: &HttpRequest) -> Result<(), Problem> {
    let store_looks = request.extensions().get() == Some(&LoginRule::StoreLooks);
    if store_looks {
        Ok(())
    } else {
        check_again(request).await
    }
}

/// Reads the access token of a request, and looks whether its login goes on.
fn signed_in(request: &HttpRequest) -> impl Future<Output = Result<Caller, Problem>> + use<> {
    let caller = authenticate(request);
    async move {
        let (caller, sessions) = caller?;
        sessions.check(&caller).await?;
        Ok(caller)
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}
