//! keygate for actix-web: a Transform, requirements and extractors.
