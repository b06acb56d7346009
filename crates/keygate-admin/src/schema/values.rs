//! Texts that follow a rule.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! text {
    ($shape:ident, $name:literal, $description:literal, $pattern:literal, $most:literal, $example:literal) => {
        #[doc = $description]
        #[derive(Debug, Serialize)]
        pub(crate) struct $shape;

        impl PartialSchema for $shape {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($description))
                    .pattern(Some($pattern))
                    .max_length(Some($most))
                    .examples([$example]);
                text.into()
            }
        }

        impl ToSchema for $shape {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    };
}

text!(OrganizationIdShape, "OrganizationId", "The id of an organization.", "^[A-Za-z0-9._-]{1,128}$", 128, "acme");
text!(UserIdShape, "UserId", "The id of a user of an organization.", "^[A-Za-z0-9._-]{1,128}$", 128, "ada");
text!(RoleNameShape, "RoleName", "The name of a role of an organization.", "^[A-Za-z0-9._-]{1,128}$", 128, "reader");
text!(ProjectIdShape, "ProjectId", "The id of a project of an organization.", "^[A-Za-z0-9._-]{1,128}$", 128, "web");
text!(
    KeyIdShape,
    "KeyId",
    "The id of a key, which is no secret.",
    "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    36,
    "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f"
);
text!(
    ScopeShape,
    "Scope",
    "Segments joined by colons. `*` stands for one segment of any text, a last segment `**` for one or more.",
    r"^(([A-Za-z0-9._~/@+-]+|\*):){0,15}([A-Za-z0-9._~/@+-]+|\*\*?)$",
    256,
    "reports:read"
);
text!(TagShape, "Tag", "A word that keys are found by.", "^[A-Za-z0-9._:/=-]{1,64}$", 64, "team=payments");
text!(FieldNameShape, "FieldName", "The name of a sensitive field.", "^[A-Za-z0-9._-]{1,64}$", 64, "account");
text!(EnvironmentShape, "Environment", "Where a key may be used.", "^[a-z0-9]{1,16}$", 16, "prod");
text!(
    NetworkShape,
    "Network",
    "An address, or a network without bits set beyond its prefix.",
    "^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$",
    49,
    "192.0.2.0/24"
);
