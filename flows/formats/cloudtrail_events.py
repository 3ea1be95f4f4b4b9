"""What the calls that AWS CloudTrail records are to Lapwing, by name."""

from typing import Final


def _each(action: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), action)


EVENTS: Final = {
    "ConsoleLogin": "login",
    "UserAuthentication": "login",
    "CredentialVerification": "login",
    "CredentialChallenge": "mfa_challenge",
    "CheckMfa": "mfa_challenge",
    "Logout": "logout",
    "SignOut": "logout",
    "GlobalSignOut": "logout",
    **_each(
        "token_issue",
        "AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity AssumeRoot GetSessionToken GetFederationToken "
        "GetSigninToken SwitchRole ExitRole RenewRole Federate GetRoleCredentials CreateToken CreateTokenWithIAM "
        "CreateSession",
    ),
    "CreateUser": "register",
    "CreateAccount": "register",
    "InviteAccountToOrganization": "register",
    "DeleteUser": "account_delete",
    "CloseAccount": "account_delete",
    "RemoveAccountFromOrganization": "account_delete",
    "UpdateUser": "profile_update",
    **_each(
        "profile_update",
        "EnableMFADevice DeactivateMFADevice CreateVirtualMFADevice DeleteVirtualMFADevice ResyncMFADevice TagUser "
        "UntagUser PutContactInformation PutAlternateContact StartPrimaryEmailUpdate AcceptPrimaryEmailUpdate",
    ),
    "ChangePassword": "password_change",
    "CreateLoginProfile": "password_reset",  # set by an administrator
    "UpdateLoginProfile": "password_reset",
    "DeleteLoginProfile": "password_change",
    "PasswordRecoveryRequested": "password_reset_request",
    "PasswordRecoveryCompleted": "password_reset",
    **_each(
        "api_key_change",
        "CreateAccessKey DeleteAccessKey UpdateAccessKey CreateServiceSpecificCredential "
        "DeleteServiceSpecificCredential UpdateServiceSpecificCredential ResetServiceSpecificCredential "
        "UploadSSHPublicKey DeleteSSHPublicKey UpdateSSHPublicKey UploadSigningCertificate DeleteSigningCertificate "
        "UpdateSigningCertificate CreateKeyPair ImportKeyPair DeleteKeyPair CreateApiKey DeleteApiKey UpdateApiKey",
    ),
    **_each(
        "role_change",
        "AttachUserPolicy DetachUserPolicy PutUserPolicy DeleteUserPolicy AttachGroupPolicy DetachGroupPolicy "
        "PutGroupPolicy DeleteGroupPolicy AttachRolePolicy DetachRolePolicy PutRolePolicy DeleteRolePolicy "
        "AddUserToGroup RemoveUserFromGroup CreateGroup DeleteGroup UpdateGroup CreateRole DeleteRole UpdateRole "
        "UpdateAssumeRolePolicy UpdateRoleDescription CreateServiceLinkedRole DeleteServiceLinkedRole "
        "PutUserPermissionsBoundary DeleteUserPermissionsBoundary PutRolePermissionsBoundary "
        "DeleteRolePermissionsBoundary AddRoleToInstanceProfile RemoveRoleFromInstanceProfile "
        "CreateAccountAssignment DeleteAccountAssignment CreatePermissionSet DeletePermissionSet "
        "PutInlinePolicyToPermissionSet AttachManagedPolicyToPermissionSet DetachManagedPolicyFromPermissionSet",
    ),
    **_each(
        "policy_change",
        "CreatePolicy DeletePolicy CreatePolicyVersion DeletePolicyVersion SetDefaultPolicyVersion "
        "UpdateAccountPasswordPolicy DeleteAccountPasswordPolicy CreateSAMLProvider UpdateSAMLProvider "
        "DeleteSAMLProvider CreateOpenIDConnectProvider DeleteOpenIDConnectProvider "
        "UpdateOpenIDConnectProviderThumbprint CreateTrail DeleteTrail UpdateTrail StartLogging StopLogging "
        "PutEventSelectors PutInsightSelectors DeleteEventDataStore StopEventDataStoreIngestion CreateDetector "
        "DeleteDetector UpdateDetector DisassociateFromMasterAccount StopMonitoringMembers "
        "CreateIPSet UpdateIPSet DeleteIPSet PutBucketPolicy DeleteBucketPolicy PutBucketAcl PutObjectAcl "
        "PutBucketPublicAccessBlock DeleteBucketPublicAccessBlock PutAccountPublicAccessBlock PutKeyPolicy "
        "ScheduleKeyDeletion DisableKey PutResourcePolicy DeleteResourcePolicy AttachPolicy DetachPolicy "
        "EnablePolicyType DisablePolicyType LeaveOrganization DeleteConfigRule DeleteConfigurationRecorder "
        "StopConfigurationRecorder DeleteDeliveryChannel DisableSecurityHub DeleteFlowLogs "
        "AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress "
        "RevokeSecurityGroupEgress PutAccountSettingDefault EnableSerialConsoleAccess",
    ),
}

READS: Final = (
    "Get", "List", "Describe", "Head", "BatchGet", "Lookup", "Search", "Query", "Scan", "Select", "Download", "View",
    "Simulate", "Retrieve", "Detect",
)  # fmt: skip
"""How the names of calls begin that read."""
EXPORTS: Final = frozenset({"CreateUserExportJob", "StartExportTask", "ExportTableToPointInTime", "CreateExportTask"})

ERRORS: Final = {
    "AccessDenied": "forbidden",
    "AccessDeniedException": "forbidden",
    "UnauthorizedOperation": "forbidden",
    "UnauthorizedAccess": "forbidden",
    "Forbidden": "forbidden",
    "OperationNotPermitted": "forbidden",
    "AuthorizationError": "forbidden",
    "AuthFailure": "bad_credentials",
    "InvalidClientTokenId": "bad_credentials",
    "SignatureDoesNotMatch": "bad_credentials",
    "UnrecognizedClientException": "bad_credentials",
    "InvalidIdentityToken": "bad_credentials",
    "IDPRejectedClaim": "bad_credentials",
    "NotAuthorizedException": "bad_credentials",
    "UserNotFoundException": "unknown_user",
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "RequestExpired": "expired",
    "ThrottlingException": "rate_limited",
    "Throttling": "rate_limited",
    "RequestLimitExceeded": "rate_limited",
    "TooManyRequestsException": "rate_limited",
    "SlowDown": "rate_limited",
    "ProvisionedThroughputExceededException": "rate_limited",
    "InternalFailure": "server_error",
    "InternalError": "server_error",
    "InternalServerError": "server_error",
    "InternalServiceException": "server_error",
    "ServiceUnavailable": "server_error",
    "ServiceUnavailableException": "server_error",
}
"""By the error code without the words `Client.` and `Server.` before it."""

ACTORS: Final = {
    "Root": "admin",
    "IAMUser": "user",
    "AssumedRole": "user",
    "Role": "user",
    "FederatedUser": "user",
    "SAMLUser": "user",
    "WebIdentityUser": "user",
    "IdentityCenterUser": "user",
    "Directory": "user",
    "Unknown": "user",
    "AWSAccount": "service",
    "AWSService": "service",
}
