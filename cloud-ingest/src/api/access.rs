//! Users, tokens, and the log of who changed what: for admins. They are changed only where everybody is asked who they are: else any
//! user of the machine could make a token for later.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tidegate_access::{
    Book, BookError, Name, Role, TokenId,
    book::{TOKEN_LIFE_MS, TokenRow, Wanted},
    secrecy::{ExposeSecret, SecretString},
};

use super::{Answer, Api, ApiState, operations::must_be_json, parameters::Parameters, problem::Problem};
use crate::door::{Caller, DoorError, KeptError, SignInRefused, changes::Change, new_token};

const CHANGES_PAGE: usize = 100;
const MOST_CHANGES: usize = 1_000;

#[derive(Serialize)]
pub struct TokensView {
    tokens: Vec<TokenView>,
}

#[derive(Serialize)]
struct TokenView {
    id: TokenId,
    owner: Name,
    role: Role,
    note: String,
    /// `valid`, `expired` or `revoked`
    state: &'static str,
    created_unix_ms: i64,
    created_by: String,
    expires_unix_ms: i64,
    revoked_unix_ms: Option<i64>,
    /// To the hour.
    last_used_unix_ms: Option<i64>,
}

#[derive(Serialize)]
struct NewTokenView {
    #[serde(flatten)]
    about: TokenView,
    /// Told once.
    token: String,
}

#[derive(Serialize)]
pub struct UsersView {
    users: Vec<UserView>,
}

#[derive(Serialize)]
struct UserView {
    name: Name,
    role: Role,
    added_unix_ms: i64,
    password_unix_ms: i64,
}

#[derive(Serialize)]
pub struct ChangesView {
    changes: Vec<Change>,
    /// To be given as `before` for what came before; none at the beginning.
    next_before: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenOrder {
    owner: Name,
    role: Role,
    #[serde(default)]
    note: String,
    expires_in_ms: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserOrder {
    name: Name,
    role: Role,
    password: SecretString,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordOrder {
    password: SecretString,
}

pub async fn tokens(State(api): ApiState, uri: Uri) -> Answer<TokensView> {
    Parameters::read(&uri, &[])?;
    let (book, now) = (api.door.book()?, api.door.unix_ms());
    Ok(Json(TokensView { tokens: book.tokens().iter().map(|row| token_view(row, now)).collect() }))
}

pub async fn create_token(
    State(api): ApiState,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let order: TokenOrder = order(&caller, &uri, &headers, &body, "{\"owner\": …, \"role\": …}")?;
    let token = new_token()?;
    let (id, owner, role) = (token.id(), order.owner.clone(), order.role);
    let life_ms = order.expires_in_ms.unwrap_or(TOKEN_LIFE_MS);
    let wanted = Wanted { owner: order.owner, role, note: order.note, life_ms };
    let (created_by, now) = (caller.name.clone(), api.door.unix_ms());
    let text = token.text().expose_secret().to_owned();
    let row = change(&api, move |book| book.create_token(&token, wanted, &created_by, now).cloned()).await?;
    caller.says_what(format!("token {id} for {owner}, {role}, for {} h", life_ms / 3_600_000));
    let about = token_view(&row, now);
    Ok((StatusCode::CREATED, Json(NewTokenView { about, token: text })).into_response())
}

pub async fn revoke_token(
    State(api): ApiState,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    must_ask(&caller)?;
    let id: TokenId = id.parse().map_err(|error| Problem::parameter("token", format!("token: {error}")))?;
    let now = api.door.unix_ms();
    let row = change(&api, move |book| book.revoke_token(id, now).cloned()).await?;
    caller.says_what(format!("token {id} of {} is revoked", row.owner));
    Ok(Json(token_view(&row, now)).into_response())
}

pub async fn users(State(api): ApiState, uri: Uri) -> Answer<UsersView> {
    Parameters::read(&uri, &[])?;
    let book = api.door.book()?;
    Ok(Json(UsersView { users: book.users().iter().map(user_view).collect() }))
}

pub async fn add_user(
    State(api): ApiState,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let example = "{\"name\": …, \"role\": …, \"password\": …}";
    let UserOrder { name, role, password } = order(&caller, &uri, &headers, &body, example)?;
    let record = api.door.hash_password(password).await?;
    let now = api.door.unix_ms();
    caller.says_what(format!("user {name}, {role}"));
    let view = change(&api, move |book| {
        book.add_user(name.clone(), role, record, now)?;
        known(book, &name)
    });
    Ok((StatusCode::CREATED, Json(view.await?)).into_response())
}

pub async fn set_password(
    State(api): ApiState,
    caller: Caller,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let PasswordOrder { password } = order(&caller, &uri, &headers, &body, "{\"password\": …}")?;
    let name = user_name(&name)?;
    let record = api.door.hash_password(password).await?;
    let now = api.door.unix_ms();
    let view = change(&api, move |book| {
        book.set_password(&name, record, now)?;
        known(book, &name)
    });
    Ok(Json(view.await?).into_response())
}

pub async fn remove_user(
    State(api): ApiState,
    caller: Caller,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    must_ask(&caller)?;
    let name = user_name(&name)?;
    let now = api.door.unix_ms();
    let view = change(&api, move |book| {
        let view = known(book, &name)?;
        book.remove_user(&name, now).map(|()| view)
    });
    Ok(Json(view.await?).into_response())
}

pub async fn changes(State(api): ApiState, uri: Uri) -> Answer<ChangesView> {
    let given = Parameters::read(&uri, &["before", "limit"])?;
    let (before, limit) = (given.parsed("before")?, given.count("limit", CHANGES_PAGE, MOST_CHANGES)?);
    let door = Arc::clone(&api.door);
    let read = tokio::task::spawn_blocking(move || door.changes.before(before, limit)).await;
    let changes = match read {
        Ok(Ok(changes)) => changes,
        Ok(Err(error)) => return Err(Problem::internal(&format!("the log of changes: {error}"))),
        Err(error) => return Err(Problem::internal(&format!("the log of changes: {error}"))),
    };
    let next_before = changes.last().map(|oldest| oldest.order.number).filter(|number| *number > 1);
    Ok(Json(ChangesView { changes, next_before }))
}

fn token_view(row: &TokenRow, now_unix_ms: i64) -> TokenView {
    let TokenRow { id, owner, role, note, created_by, .. } = row.clone();
    TokenView {
        id,
        owner,
        role,
        note,
        state: row.state(now_unix_ms),
        created_unix_ms: row.created_unix_ms,
        created_by,
        expires_unix_ms: row.expires_unix_ms,
        revoked_unix_ms: row.revoked_unix_ms,
        last_used_unix_ms: row.last_used_unix_ms,
    }
}

fn user_view(user: &tidegate_access::book::User) -> UserView {
    let (name, role) = (user.name.clone(), user.role);
    UserView { name, role, added_unix_ms: user.added_unix_ms, password_unix_ms: user.password_unix_ms }
}

fn known(book: &Book, name: &Name) -> Result<UserView, BookError> {
    book.user(name).map(user_view).ok_or_else(|| BookError::UnknownUser(name.clone()))
}

fn user_name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error| Problem::parameter("user", format!("user: {error}")))
}

fn must_ask(caller: &Caller) -> Result<(), Problem> {
    if !caller.is_local() {
        return Ok(());
    }
    let detail = "nobody is asked who they are here, so there are no users and tokens to change; set up [auth], and make a first \
                  user with `tidegate-ingest users add`";
    Err(Problem::new(StatusCode::CONFLICT, detail.to_owned()))
}

fn order<T: for<'a> Deserialize<'a>>(
    caller: &Caller,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    example: &str,
) -> Result<T, Problem> {
    Parameters::read(uri, &[])?;
    must_be_json(headers, example)?;
    // Where, and not what: a password may be in it.
    let read = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let detail = format!("the order cannot be read ({place}); send {example}");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    must_ask(caller)?;
    Ok(read)
}

async fn change<T: Send + 'static>(
    api: &Api,
    change: impl FnOnce(&mut Book) -> Result<T, BookError> + Send + 'static,
) -> Result<T, Problem> {
    let door = Arc::clone(&api.door);
    match tokio::task::spawn_blocking(move || door.change(change)).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Problem::internal(&format!("the change did not end: {error}"))),
    }
}

impl From<KeptError> for Problem {
    fn from(error: KeptError) -> Self {
        let status = match &error {
            KeptError::Unusable { .. } | KeptError::Wrong { .. } => {
                return Self::internal(&error.to_string());
            }
            KeptError::Refused(BookError::UnknownUser(_) | BookError::UnknownToken(_)) => {
                StatusCode::NOT_FOUND
            }
            KeptError::Refused(BookError::Life | BookError::Note) => StatusCode::BAD_REQUEST,
            KeptError::Refused(_) => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<DoorError> for Problem {
    fn from(error: DoorError) -> Self {
        Self::internal(&error.to_string())
    }
}

impl From<SignInRefused> for Problem {
    fn from(refused: SignInRefused) -> Self {
        match refused {
            SignInRefused::Password(wrong) => Self::parameter("password", format!("password: {wrong}")),
            SignInRefused::Busy => Self::busy(refused.to_string(), 5),
            SignInRefused::Kept(error) => error.into(),
            other => Self::internal(&other.to_string()),
        }
    }
}
