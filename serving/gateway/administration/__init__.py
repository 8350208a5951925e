"""What an administrator does with tenants, keys, prices and the ledger.

The commands, the admin API and any page call these functions: each checks what it is given,
changes it, and leaves a row in the audit log in the same transaction. They know no HTTP and
print nothing.
"""

from serving.gateway.administration.administrator import Administrator, check_plan
from serving.gateway.administration.corrections import (
    refund_charge,
    reverse_charge,
    top_up_credit,
)
from serving.gateway.administration.key_records import KeyRecord, KeyWish, NewKey
from serving.gateway.administration.keys import (
    KeyChange,
    change_key,
    list_keys,
    make_key,
    read_key,
    revoke_key,
    rotate_key,
)
from serving.gateway.administration.tenants import (
    TenantRecord,
    change_alerts,
    change_tenant,
    create_tenant,
    erase,
    list_tenants,
    read_tenant,
)
from serving.gateway.administration.usage import usage_by

__all__ = [
    "Administrator",
    "KeyChange",
    "KeyRecord",
    "KeyWish",
    "NewKey",
    "TenantRecord",
    "change_alerts",
    "change_key",
    "change_tenant",
    "check_plan",
    "create_tenant",
    "erase",
    "list_keys",
    "list_tenants",
    "make_key",
    "read_key",
    "read_tenant",
    "refund_charge",
    "reverse_charge",
    "revoke_key",
    "rotate_key",
    "top_up_credit",
    "usage_by",
]
