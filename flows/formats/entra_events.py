"""What Microsoft Entra's result codes and activities are to Lapwing."""

from typing import Final

Result = tuple[str, str]
"""Outcome and reason."""


def _each(outcome: str, reason: str, *numbers: int) -> dict[str, Result]:
    return {str(number): (outcome, reason) for number in numbers}


RESULTS: Final[dict[str, Result]] = {
    "0": ("success", ""),
    "Success": ("success", ""),
    "success": ("success", ""),
    "": ("unknown", ""),
    # A step of the login is still to come: nothing has failed. 50074, 50076: a second factor; 50072, 50079, 50203: its
    # registration; 50058, 16000: choose an account; 50097, 50129, 50187: the device; 50125, 50140: a page on the way;
    # 50158: a check elsewhere; 65001, 90094: consent; 70016: a device code that is still pending.
    **_each(
        "challenge", "", 16000, 16001, 16003, 28002, 28003, 50058, 50072, 50074, 50076, 50078, 50079, 50097, 50125,
        50127, 50129, 50136, 50140, 50157, 50158, 50187, 50199, 50203, 50206, 51006, 65001, 65002, 70016, 70046, 90094,
        90095, 700020, 9002341, 399218, 1003031,
    ),
    **_each(
        "failure", "bad_credentials", 50012, 50056, 50064, 50126, 50027, 70000, 70002, 70018, 80007, 81004, 120000,
        700023, 700024, 700027, 7000215, 7000218, 5000811, 399284,
    ),
    **_each("failure", "unknown_user", 50034, 50020, 50128, 50177, 51004, 90072, 90023, 81012),
    **_each("failure", "locked", 50053, 50057, 135011, 7000112, 500014),
    **_each(
        "failure", "expired", 50055, 50089, 50132, 50133, 50135, 50142, 50144, 50173, 70008, 70019, 70043, 70044,
        500133, 700082, 700084, 7000222, 130005,
    ),
    **_each("failure", "mfa_failed", 500121, 50088, 500122, 50180, 50155),
    **_each(
        "blocked", "forbidden", 50131, 53000, 53001, 53002, 53003, 53004, 53008, 53009, 53010, 53011, 53200, 530001,
        530002, 530003, 530021, 530032, 530034, 530035, 530036,
    ),
    **_each("failure", "forbidden", 50005, 50105, 65004, 65005, 80012, 120021, 50139),
    **_each("failure", "not_found", 700016, 500011, 50001, 90002, 650052),
    **_each("blocked", "rate_limited", 50196, 90055, 900384),
    **_each(
        "failure", "server_error", 50000, 80001, 80002, 80005, 80010, 80013, 80014, 81010, 90006, 90012, 90013, 90033,
        40008, 40010,
    ),
}  # fmt: skip
"""By `resultType` or `status.errorCode`. Any other code is a failure of another reason."""

SECOND_FACTOR: Final = frozenset({"500121", "50088", "500122"})
"""Codes of records that are about the second factor alone."""

SIGN_INS: Final = {
    "SignInLogs": "login",
    "SigninLogs": "login",
    "ADFSSignInLogs": "login",
    "NonInteractiveUserSignInLogs": "token_issue",
    "ServicePrincipalSignInLogs": "token_issue",
    "ManagedIdentitySignInLogs": "token_issue",
    "MicrosoftServicePrincipalSignInLogs": "token_issue",
}
"""Categories of sign-ins. What no user took part in issues a token."""

ACTIVITIES: Final = {
    "add user": "register",
    "bulk create users - finished (bulk)": "register",
    "invite external user": "register",
    "invite internal user": "register",
    "invite internal user to b2b collaboration": "register",
    "delete user": "account_delete",
    "hard delete user": "account_delete",
    "disable account": "account_lock",
    "block user": "account_lock",
    "enable account": "account_unlock",
    "restore user": "account_unlock",
    "unlock user account (self-service)": "account_unlock",
    "unblock user": "account_unlock",
    "update user": "profile_update",
    "set user manager": "profile_update",
    "user registered security info": "profile_update",
    "user registered all required security info": "profile_update",
    "user deleted security info": "profile_update",
    "user changed default security info": "profile_update",
    "user updated security info": "profile_update",
    "admin registered security info": "profile_update",
    "admin deleted security info": "profile_update",
    "admin updated security info": "profile_update",
    "user started security info registration": "other",
    "user reviewed security info": "other",
    "user cancelled security info registration": "other",
    "reset user password": "password_reset",
    "reset password (by admin)": "password_reset",
    "reset password (self-service)": "password_reset",
    "self-service password reset flow activity progress": "password_reset_request",
    "blocked from self-service password reset": "password_reset_request",
    "change user password": "password_change",
    "change password (self-service)": "password_change",
    "update stsrefreshtokenvalidfrom timestamp": "logout",
    "revoke sign-in sessions": "logout",
    "user performed all required actions": "other",
    "add service principal credentials": "api_key_change",
    "remove service principal credentials": "api_key_change",
    "update application \u2013 certificates and secrets management": "api_key_change",
    "update application - certificates and secrets management": "api_key_change",
    "generate oath token": "api_key_change",
    "consent to application": "role_change",
    "add delegated permission grant": "role_change",
    "remove delegated permission grant": "role_change",
    "add oauth2permissiongrant": "role_change",
    "add app role assignment to service principal": "role_change",
    "add app role assignment grant to user": "role_change",
    "add app role assignment to group": "role_change",
    "remove app role assignment from service principal": "role_change",
    "remove app role assignment from user": "role_change",
    "add owner to application": "role_change",
    "add owner to service principal": "role_change",
    "download users": "data_export",
    "download users - finished (bulk)": "data_export",
    "download group members - finished (bulk)": "data_export",
    "download role assignments - finished (bulk)": "data_export",
}
"""Activities of the audit log, in lower case."""

CATEGORIES: Final = {
    "UserManagement": "profile_update",
    "GroupManagement": "role_change",
    "RoleManagement": "role_change",
    "EntitlementManagement": "role_change",
    "Policy": "policy_change",
    "ApplicationManagement": "policy_change",
    "DirectoryManagement": "policy_change",
    "AuthorizationPolicy": "policy_change",
    "CrossTenantAccessSettings": "policy_change",
    "PolicyManagement": "policy_change",
    "Authentication": "other",
    "AuditLogs": "other",
}
"""What an activity that is not listed is, by its category."""
