//! Keys: made, taken in, listed, shown, changed, stopped, rotated, erased.

mod bulk;
mod change;
mod create;
mod expiry;
mod export;
mod import;
mod list;
mod rotation;
mod sensitive;
mod status;
mod which;

use utoipa_axum::router::OpenApiRouter;

use crate::admin::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .merge(create::routes())
        .merge(list::routes())
        .merge(bulk::routes())
        .merge(import::routes())
        .merge(export::routes())
        .merge(change::routes())
        .merge(sensitive::routes())
        .merge(status::routes())
        .merge(rotation::routes())
}
