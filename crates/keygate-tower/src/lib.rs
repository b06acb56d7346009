//! keygate for Tower services: axum, tonic and hyper.
