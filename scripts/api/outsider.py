"""Makes, verifies, limits and revokes a key with a client that was generated from the served document."""

import os
import sys

from generated import AuthenticatedClient
from generated.api.checking import verify_key
from generated.api.keys import bulk_keys, create_key, list_keys, revoke_key, show_key, update_key
from generated.api.organizations import create_organization, update_organization
from generated.api.self_ import show_self
from generated.models import (
    Bulk,
    BulkOperation,
    KeyChange,
    NewKey,
    NewLimits,
    NewOrganization,
    OrganizationChange,
    StatusChange,
    Verification,
)

client = AuthenticatedClient(base_url=sys.argv[1], token=os.environ["KEYGATE_ADMIN_KEY"])


def ask(call, status, **arguments):
    """The parsed answer of a call, which must have this status."""
    answer = call.sync_detailed(client=client, **arguments)
    assert answer.status_code == status, f"{call.__name__}: {answer.status_code} {answer.content!r}"
    return answer.parsed


def verify(key, **asked):
    return ask(verify_key, 200, body=Verification(key=key, **asked))


assert ask(show_self, 200).organization_id == "system"
ask(create_organization, 201, body=NewOrganization(organization_id="outsiders", max_keys=10))

new = NewKey(user_id="ada", name="nightly report", scopes=["reports:read"])
created = ask(create_key, 201, org="outsiders", body=new, idempotency_key="one")
again = ask(create_key, 201, org="outsiders", body=new, idempotency_key="one")
assert again.key_id == created.key_id and again.key is None, "the same request made another key"

assert verify(created.key).valid
assert verify(created.key, scope="reports:read").user_id == "ada"
refused = verify(created.key, scope="reports:write", explain=True)
assert not refused.valid and refused.reason == "scope_not_authorized"
assert any(check.check == "scopes" and check.verdict == "failed" for check in refused.checks)

day = NewLimits(per_day=5)
limited = ask(update_organization, 200, org="outsiders", body=OrganizationChange(limits=day))
assert limited.limits.per_day == 5 and limited.user_limits is None
left = verify(created.key, cost=3).limits_left
assert [(one.level, one.window, one.remaining) for one in left if one.level == "organization"] == [
    ("organization", "day", 2)
]
spent = verify(created.key, cost=3)
assert spent.reason == "rate_limit_exceeded" and spent.violated_policies == ["organization-day"]
assert 0 < spent.retry_after < 90000
assert ask(show_key, 200, key_id=created.key_id).limits_left[-1].remaining == 2
ask(update_organization, 200, org="outsiders", body=OrganizationChange(limits=None))

changed = ask(update_key, 200, key_id=created.key_id, body=KeyChange(scopes=["reports:**"]))
assert changed.revision > created.revision
assert verify(created.key, scope="reports:write").valid

other = ask(create_key, 201, org="outsiders", body=NewKey(user_id="bob"))
listed = ask(list_keys, 200, org="outsiders")
assert [key.key_id for key in listed.keys] == [other.key_id, created.key_id], "newest first"
outcome = ask(
    bulk_keys, 200, org="outsiders", body=Bulk(operation=BulkOperation.DEACTIVATE, key_ids=[other.key_id])
)
assert outcome.successful == [other.key_id] and outcome.failed == []
assert verify(other.key).reason == "key_inactive"

revoked = ask(revoke_key, 200, key_id=created.key_id, body=StatusChange(reason="left the team"))
assert revoked.confirmed, "one instance, which has heard of it"
assert verify(created.key).reason == "key_revoked"
assert ask(show_key, 200, key_id=created.key_id).status == "revoked"
print("a generated client has made, verified, limited, changed, listed and revoked keys")
