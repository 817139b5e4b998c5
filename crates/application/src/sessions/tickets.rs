//! Tickets (L5): for what can send no headers, as `EventSource`, `<img>` and `<video>` of browsers.
//!
//! A ticket is in an address, and addresses end up in histories and in the logs of others. So it opens one thing, for a minute,
//! and never more than the access token that it was asked for with: it ends with that and with its login.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mosaic_domain::account::Role;
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{Opens, TicketClaims};
use uuid::Uuid;

use super::{Caller, Sessions, Shown};
use crate::error::{AppError, Unauthenticated};

/// How long a ticket works, in milliseconds.
pub const TICKET_TTL_MS: i64 = 60_000;

/// So many used tickets of one user are remembered; while there are more, none is taken.
const USED_MAX: usize = 100;

/// A ticket, as it is given out.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// What is put into the address.
    pub text: String,
    /// When it stops working.
    pub expires_at: UnixMillis,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(hidden)")
    }
}

impl Sessions {
    /// A ticket with this id, for somebody who has shown who they are.
    ///
    /// # Errors
    /// [`AppError::Internal`] when the key can't sign.
    pub fn ticket(&self, shown: &Shown, id: Uuid, opens: Opens) -> Result<Ticket, AppError> {
        let expires_at = self.clock.now().plus(TICKET_TTL_MS).min(shown.until);
        let claims = TicketClaims {
            id,
            user: shown.caller.user,
            family: shown.caller.family,
            opens,
            until: shown.until,
            expires_at,
        };
        let text = self.tokens.sign_ticket(&claims).map_err(AppError::Internal)?;
        Ok(Ticket { text, expires_at })
    }

    /// Takes a ticket for what it must open. One for the stream of nudges is used by that. Whether its login goes on is another
    /// question, as of an access token.
    ///
    /// # Errors
    /// [`Unauthenticated::InvalidTicket`]; [`AppError::TooManyListeners`] where the user has used too many in the last minute.
    pub fn redeem(&self, ticket: &str, opens: Opens) -> Result<Shown, AppError> {
        let now = self.clock.now();
        let claims = self
            .tokens
            .verify_ticket(ticket, now)
            .ok()
            .filter(|claims| claims.opens == opens)
            .ok_or(Unauthenticated::InvalidTicket)?;
        if claims.opens == Opens::Events {
            self.used.note(&claims, now)?;
        }
        let caller = Caller {
            user: claims.user,
            // No ticket is for what only administrators may do.
            role: Role::User,
            family: claims.family,
            client: None,
        };
        Ok(Shown {
            caller,
            until: claims.until,
            by_ticket: true,
        })
    }
}

/// The tickets that were used and have not expired: one for each process. Another instance, or this one after a restart, takes such
/// a ticket once more, within its minute.
#[derive(Debug, Default)]
pub(super) struct Used(Mutex<ByUser>);

#[derive(Debug, Default)]
struct ByUser {
    tickets: HashMap<UserId, Vec<(Uuid, UnixMillis)>>,
    /// Those of all users were last looked through then: once in the life of a ticket, so that taking one costs no more where
    /// there are many.
    swept_at: UnixMillis,
}

impl Used {
    fn note(&self, claims: &TicketClaims, now: UnixMillis) -> Result<(), AppError> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let forget = |of_user: &mut Vec<(Uuid, UnixMillis)>| {
            of_user.retain(|(_, expires_at)| now < *expires_at);
            !of_user.is_empty()
        };
        if used.swept_at.plus(TICKET_TTL_MS) <= now {
            used.tickets.retain(|_, of_user| forget(of_user));
            used.swept_at = now;
        }
        let of_user = used.tickets.entry(claims.user).or_default();
        forget(of_user);
        if of_user.iter().any(|(id, _)| *id == claims.id) {
            return Err(Unauthenticated::InvalidTicket.into());
        }
        if of_user.len() >= USED_MAX {
            return Err(AppError::TooManyListeners);
        }
        of_user.push((claims.id, claims.expires_at));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mosaic_domain::FamilyId;
    use mosaic_ports::Opens;

    use super::*;

    #[test]
    fn l5_used_tickets_are_forgotten_once_they_expire_and_no_sooner() {
        let used = Used::default();
        let note = |number, after: i64| {
            let now = UnixMillis::clamped(1_000_000_000_000 + after);
            let claims = TicketClaims {
                id: Uuid::from_u128(number),
                user: UserId::new(Uuid::from_u128(number)),
                family: FamilyId::new(Uuid::nil()),
                opens: Opens::Events,
                until: now.plus(TICKET_TTL_MS),
                expires_at: now.plus(TICKET_TTL_MS),
            };
            used.note(&claims, now)
        };
        let remembered = || used.0.lock().unwrap().tickets.len();
        note(1, 0).unwrap();
        note(2, 1).unwrap();
        note(3, TICKET_TTL_MS - 1).unwrap();
        assert_eq!(remembered(), 3, "they are looked through once in a minute");
        note(4, TICKET_TTL_MS).unwrap();
        assert_eq!(remembered(), 3);
        for again in [2, 3, 4] {
            note(again, TICKET_TTL_MS).unwrap_err();
        }
    }
}
