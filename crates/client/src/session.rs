//! The login: its tokens, and requests that carry them.

use hyper::Uri;
use mosaic_domain::{UserId, Violation};
use serde_json::json;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::{Answer, Failures, Request};
use crate::store::{Account, Store};
use crate::wire::{LoginAnswer, LoginRequest, Tokens, read};

/// How often a request goes on with another token where one expires at once.
const RENEWALS: usize = 3;

/// Who logs in, and where.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The server's address: `https://mosaic.example.org`.
    pub server: &'a str,
    /// The account's name.
    pub username: &'a str,
    /// Its password.
    pub password: &'a str,
    /// What a person calls this device.
    pub device_name: Option<&'a str>,
}

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { server, username, .. } = self;
        write!(f, "Login({username} at {server}, the password is hidden)")
    }
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The account.
    pub user: UserId,
    /// Its name, as it is written there.
    pub username: String,
    /// Whether nothing else works before another password is chosen (L3): [`Client::change_password`].
    pub must_change_password: bool,
}

impl Client {
    /// Logs in, in the place of an earlier login, which goes on at the server until it is [ended](Self::logout). The address and the
    /// account are kept with the data; edits that were made before stay, and are sent as this user's.
    ///
    /// # Errors
    /// [`Error::Refused`] with `bad_credentials`; [`Error::OtherUser`] where the data is another user's; [`Error::Invalid`] where
    /// the address is none; [`Error::NotTheServer`] where somebody else answers there; [`Error::Later`], also after too many wrong
    /// passwords; [`Error::Local`].
    pub async fn login(&self, login: Login<'_>) -> Result<LoggedIn> {
        let server = login.server.trim_end_matches('/').to_owned();
        if !is_address(&server) {
            return Err(Violation::new(
                "invalid_address",
                "must be an address like https://mosaic.example.org",
            )
            .into());
        }
        let body = LoginRequest {
            username: login.username,
            password: login.password,
            client_id: self.client_id().as_str(),
            device_name: login.device_name,
        };
        let request = Request::post("/auth/login", &body)?;
        let answer = self
            .http()
            .send(&server, &request, None, &mut Failures::default())
            .await?;
        let LoginAnswer {
            tokens,
            user,
            must_change_password,
        } = read(&answer.body)?;
        let account = Account {
            server,
            user: user.id,
            username: user.username.clone(),
        };
        self.blocking(move |store| store.begin_login(&account, &tokens))
            .await?;
        Ok(LoggedIn {
            user: user.id,
            username: user.username,
            must_change_password,
        })
    }

    /// Forgets the login, and ends it on the server. The data stays, and so do edits that were not synced.
    ///
    /// # Errors
    /// [`Error::Later`] where the server could not be told: the login is forgotten here all the same.
    pub async fn logout(&self) -> Result<()> {
        let Some(tokens) = self.blocking(Store::tokens).await? else {
            return Ok(());
        };
        let spent = tokens.clone();
        self.blocking(move |store| store.renew(&spent, None)).await?;
        let body = json!({"refreshToken": tokens.refresh_token});
        let request = Request::post("/auth/logout", &body)?;
        self.send(&request, None, &mut Failures::default())
            .await
            .map(|_| ())
    }

    /// Chooses another password; every other login of the user ends (L3).
    ///
    /// # Errors
    /// [`Error::Refused`] where the old one is wrong, or the new one not acceptable; [`Error::Later`], [`Error::LoggedOut`].
    pub async fn change_password(&self, old: &str, new: &str) -> Result<()> {
        let body = json!({"oldPassword": old, "newPassword": new});
        let request = Request {
            is_repeatable: false,
            ..Request::post("/auth/change-password", &body)?
        };
        let answer = self.request(&request, &mut Failures::default()).await?;
        let tokens: Tokens = read(&answer.body)?;
        // Whatever stands there is of a login that this has ended.
        self.blocking(move |store| store.set_tokens(&tokens)).await
    }

    /// A request of the user that is logged in.
    pub(crate) async fn request(&self, request: &Request, failures: &mut Failures) -> Result<Answer> {
        let mut tokens = self.tokens(None, failures).await?;
        for _ in 0..RENEWALS {
            match self.send(request, Some(&tokens.access_token), failures).await {
                Err(error) if error.is_refused("token_expired") || error.is_refused("invalid_token") => {
                    tokens = self.tokens(Some(tokens), failures).await?;
                }
                Err(Error::LoggedOut) => {
                    // Another login may have taken its place meanwhile.
                    let stands = self.blocking(move |store| store.renew(&tokens, None)).await?;
                    tokens = stands.ok_or(Error::LoggedOut)?;
                }
                done => return done,
            }
        }
        Err(Error::later("the login expires too fast"))
    }

    async fn send(&self, request: &Request, token: Option<&str>, failures: &mut Failures) -> Result<Answer> {
        let account = self.blocking(Store::account).await?;
        let server = account.ok_or(Error::LoggedOut)?.server;
        self.http().send(&server, request, token, failures).await
    }

    /// Tokens that are not the refused ones. A refresh token is spent by its use (L2): one task of a process renews at a time, and of
    /// several processes all take what the first one brought.
    async fn tokens(&self, refused: Option<Tokens>, failures: &mut Failures) -> Result<Tokens> {
        let _one_at_a_time = self.renewing().lock().await;
        let kept = self.blocking(Store::tokens).await?.ok_or(Error::LoggedOut)?;
        if refused.is_none_or(|refused| refused.access_token != kept.access_token) {
            return Ok(kept);
        }
        let request = Request::post("/auth/refresh", &json!({"refreshToken": kept.refresh_token}))?;
        let renewed = match self.send(&request, None, failures).await {
            Ok(answer) => Some(read(&answer.body)?),
            // Nothing else that is refused says that the login has ended.
            Err(Error::LoggedOut) => None,
            Err(error) if error.is_refused("invalid_refresh_token") => None,
            Err(error) => return Err(error),
        };
        let stands = self.blocking(move |store| store.renew(&kept, renewed)).await?;
        stands.ok_or(Error::LoggedOut)
    }
}

/// Whether requests can be sent there: with a host, and nothing behind its path.
fn is_address(server: &str) -> bool {
    let is_http = server.starts_with("http://") || server.starts_with("https://");
    is_http
        && server
            .parse::<Uri>()
            .is_ok_and(|uri| uri.host().is_some() && uri.query().is_none())
}
