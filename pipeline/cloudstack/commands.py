"""All commands of CloudStack's API that the pipeline ever calls: the role that its account needs.

In: nothing. Out: the names. Called by `region-sync check` and `join`, which ask a region whether it allows
them; docs/least-privilege.md makes a role of them, and a test holds all three and the code together.
"""

from __future__ import annotations

from typing import Final

READS: Final = (
    "getUser",
    "getUserKeys",
    "listAccounts",
    "listApis",
    "listCapabilities",
    "listConfigurations",
    "listDomainChildren",
    "listDomains",
    "listEvents",
    "listManagementServers",
    "listNetworks",
    "listProjects",
    "listRolePermissions",
    "listRoles",
    "listUsers",
    "listVirtualMachines",
    "listVolumes",
    "queryAsyncJobResult",
)
CHANGES: Final = (
    "createAccount",
    "createDomain",
    "createRole",
    "createUser",
    "deleteAccount",
    "deleteDomain",
    "deleteRole",
    "deleteRolePermission",
    "deleteUser",
    "disableAccount",
    "disableUser",
    "enableAccount",
    "enableUser",
    "importRole",
    "lockUser",
    "moveDomain",
    "moveUser",
    "updateAccount",
    "updateDomain",
    "updateResourceLimit",
    "updateRole",
    "updateUser",
)
ROLES: Final = frozenset(
    ("listRolePermissions", "createRole", "deleteRole", "deleteRolePermission", "importRole", "updateRole")
)
"""Of these those that only the sync of roles needs."""
ALL: Final = READS + CHANGES
