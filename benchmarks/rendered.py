"""Simulated events as the identity platforms would have written them: the same traffic in their layouts and sizes."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

Event = dict[str, Any]

_OKTA: Final = {
    ("login", "success"): ("user.session.start", "SUCCESS", None),
    ("login", "failure"): ("user.session.start", "FAILURE", "INVALID_CREDENTIALS"),
    ("login", "challenge"): ("user.session.start", "CHALLENGE", None),
    ("mfa_challenge", "success"): ("user.authentication.auth_via_mfa", "SUCCESS", None),
    ("mfa_challenge", "failure"): ("user.authentication.auth_via_mfa", "FAILURE", "INVALID_CREDENTIALS"),
    ("token_refresh", "success"): ("app.oauth2.token.grant.refresh_token", "SUCCESS", None),
    ("token_issue", "success"): ("app.oauth2.token.grant.access_token", "SUCCESS", None),
    ("logout", "success"): ("user.session.end", "SUCCESS", None),
    ("account_delete", "success"): ("user.lifecycle.delete.completed", "SUCCESS", None),
}
_AUTH0: Final = {
    ("login", "success"): "s", ("login", "failure"): "fp", ("login", "challenge"): "mfar",
    ("mfa_challenge", "success"): "gd_auth_succeed", ("mfa_challenge", "failure"): "gd_auth_failed",
    ("token_refresh", "success"): "sertft", ("token_refresh", "failure"): "fertft",
    ("token_issue", "success"): "seccft",
    ("logout", "success"): "slo", ("account_delete", "success"): "sdu",
}  # fmt: skip
_KEYCLOAK: Final = {
    "login": "LOGIN", "token_refresh": "REFRESH_TOKEN", "token_issue": "CODE_TO_TOKEN", "logout": "LOGOUT",
    "register": "REGISTER", "account_delete": "DELETE_ACCOUNT", "profile_update": "UPDATE_PROFILE",
}  # fmt: skip
_ENTRA: Final = {
    "success": ("0", ""), "failure": ("50126", "Error validating credentials due to invalid username or password."),
    "challenge": ("50074", "Strong Authentication is required."),
    "blocked": ("53003", "Blocked by Conditional Access."),
}  # fmt: skip
_CALLS: Final = {
    "login": ("signin.amazonaws.com", "ConsoleLogin"), "mfa_challenge": ("signin.amazonaws.com", "ConsoleLogin"),
    "token_issue": ("sts.amazonaws.com", "AssumeRole"), "token_refresh": ("sts.amazonaws.com", "GetSessionToken"),
    "account_delete": ("iam.amazonaws.com", "DeleteUser"), "data_export": ("iam.amazonaws.com", "ListUsers"),
}  # fmt: skip
_COGNITO: Final = {
    "register": "SignUp",
    "password_reset_request": "ForgotPassword",
    "password_change": "PasswordChange",
}
_COGNITO_ANSWERS: Final = {"failure": "Fail", "blocked": "Fail", "challenge": "InProgress"}
_LOGINRADIUS: Final = {"login": "Login", "logout": "Logout", "token_refresh": "RefreshToken", "mfa_challenge": "MFA"}
_OCSF: Final = {"login": 1, "logout": 2, "token_issue": 3, "token_refresh": 5, "mfa_challenge": 1}


def okta(event: Event) -> Event:
    """A record of the Okta System Log."""
    kind = event.get("action", ""), event.get("outcome", "")
    name, result, reason = _OKTA.get(kind, ("user.authentication.sso", event.get("outcome", "").upper(), None))
    user, username = event.get("user", "unknown"), event.get("username", event.get("user", "unknown"))
    place = {
        "city": event.get("city"), "state": None, "country": event.get("country"), "postalCode": "1012",
        "geolocation": {"lat": event.get("lat"), "lon": event.get("lon")},
    }  # fmt: skip
    return {
        "actor": {"id": user, "type": "User", "alternateId": username, "displayName": username, "detailEntry": None},
        "client": {
            "userAgent": {"rawUserAgent": event.get("user_agent"), "os": "Windows", "browser": "CHROME"},
            "zone": "null", "device": "Computer", "id": None, "ipAddress": event.get("ip"),
            "geographicalContext": place,
        },
        "device": None,
        "authenticationContext": {
            "authenticationProvider": None, "credentialProvider": None, "credentialType": None, "issuer": None,
            "interface": None, "authenticationStep": 0, "rootSessionId": event.get("session"),
            "externalSessionId": event.get("session"),
        },
        "displayMessage": "User login to Okta", "eventType": name,
        "outcome": {"result": result, "reason": reason},
        "published": event["time"],
        "securityContext": {
            "asNumber": event.get("asn"), "asOrg": "example transit", "isp": "example", "domain": ".", "isProxy": False,
        },
        "severity": "INFO",
        "debugContext": {
            "debugData": {
                "requestId": event.get("request_id"), "dtHash": event.get("device"),
                "requestUri": event.get("endpoint"),
                "threatSuspected": "false", "url": f"{event.get('endpoint')}?",
            },
        },
        "legacyEventType": "core.user_auth.login_success",
        "transaction": {"type": "WEB", "id": event.get("request_id"), "detail": {}},
        "uuid": event.get("id"), "version": "0",
        "request": {
            "ipChain": [{"ip": event.get("ip"), "geographicalContext": place, "version": "V4", "source": None}],
        },
        "target": None,
    }  # fmt: skip


def auth0(event: Event) -> Event:
    """An event of an Auth0 log stream."""
    kind = _AUTH0.get((event.get("action", ""), event.get("outcome", "")), "sapi")
    inner = {
        "date": event["time"], "type": kind, "description": "Successful login", "connection": "Username-Password",
        "connection_id": "con_1", "client_id": "c1", "client_name": event.get("app", "web"), "ip": event.get("ip"),
        "user_agent": event.get("user_agent"), "hostname": "tenant.auth0.example", "user_id": event.get("user"),
        "user_name": event.get("username"), "audience": "https://api.example", "scope": "openid profile email",
        "details": {
            "request": {"method": event.get("method", "post").lower(), "path": event.get("endpoint")},
            "response": {"statusCode": event.get("status")},
            "stats": {"loginsCount": 17}, "session_id": event.get("session"),
        },
        "strategy": "auth0", "strategy_type": "database", "log_id": event.get("id"), "tenant_name": event.get("tenant"),
        "location_info": {
            "country_code": event.get("country"), "country_name": "", "city_name": event.get("city"),
            "latitude": event.get("lat"), "longitude": event.get("lon"), "time_zone": "Europe/Amsterdam",
            "continent_code": "EU",
        },
    }  # fmt: skip
    return {"log_id": event.get("id"), "data": inner}


def keycloak(event: Event) -> Event:
    """A user event of Keycloak."""
    failed = event.get("outcome") in ("failure", "blocked")
    kind = _KEYCLOAK.get(event.get("action", ""), "CLIENT_LOGIN")
    return {
        "id": event.get("id"), "time": event["time"], "type": f"{kind}_ERROR" if failed else kind,
        "realmId": event.get("tenant"), "realmName": event.get("tenant"), "clientId": event.get("app", "web"),
        "userId": event.get("user"), "sessionId": event.get("session"), "ipAddress": event.get("ip"),
        "error": "invalid_user_credentials" if failed else None,
        "details": {
            "username": event.get("username"), "auth_method": "openid-connect", "auth_type": "code",
            "response_type": "code", "redirect_uri": "https://app.example/callback", "consent": "no_consent_required",
            "code_id": event.get("session"), "grant_type": "authorization_code",
        },
    }  # fmt: skip


def entra(event: Event) -> Event:
    """A sign-in of Microsoft Entra ID, as diagnostic settings send it."""
    code, why = _ENTRA.get(event.get("outcome", ""), _ENTRA["success"])
    person = event.get("action") in ("login", "mfa_challenge")
    return {
        "time": event["time"], "resourceId": "/tenants/0f0e/providers/Microsoft.aadiam",
        "operationName": "Sign-in activity", "operationVersion": "1.0",
        "category": "SignInLogs" if person else "NonInteractiveUserSignInLogs", "tenantId": event.get("tenant"),
        "resultType": code, "resultDescription": why, "durationMs": 0, "callerIpAddress": event.get("ip"),
        "correlationId": event.get("request_id"), "Level": 4,
        "properties": {
            "id": event.get("id"), "createdDateTime": event["time"], "userDisplayName": event.get("username"),
            "userPrincipalName": event.get("username"), "userId": event.get("user"), "appId": "29d9ed98",
            "appDisplayName": event.get("app"), "ipAddress": event.get("ip"), "clientAppUsed": "Browser",
            "status": {"errorCode": int(code), "failureReason": why, "additionalDetails": None},
            "userAgent": event.get("user_agent"),
            "deviceDetail": {
                "deviceId": event.get("device"), "displayName": "", "operatingSystem": "Windows10", "browser": "Chrome",
                "isCompliant": False, "isManaged": False, "trustType": "",
            },
            "location": {
                "city": event.get("city"), "state": "", "countryOrRegion": event.get("country"),
                "geoCoordinates": {"latitude": event.get("lat"), "longitude": event.get("lon")},
            },
            "conditionalAccessStatus": "notApplied", "appliedConditionalAccessPolicies": [],
            "isInteractive": person, "tokenIssuerType": "AzureAD", "authenticationProcessingDetails": [],
            "riskDetail": "none", "riskLevelAggregated": "none", "riskLevelDuringSignIn": "none", "riskState": "none",
            "resourceDisplayName": "Microsoft Graph", "resourceId": "00000003",
            "authenticationDetails": [
                {"authenticationMethod": event.get("factor", "Password"), "succeeded": code == "0"},
            ],
            "authenticationRequirement": "singleFactorAuthentication", "uniqueTokenIdentifier": event.get("session"),
        },
    }  # fmt: skip


def cloudtrail(event: Event) -> Event:
    """A call, or a sign-in to the console, as AWS CloudTrail records it."""
    failed, login = event.get("outcome") in ("failure", "blocked"), event.get("action") in ("login", "mfa_challenge")
    user, account = event.get("user", "unknown"), f"{len(event.get('tenant', '')):012}"
    source, name = _CALLS.get(event.get("action", ""), ("s3.amazonaws.com", "GetObject"))
    key = {} if login else {"accessKeyId": f"{'ASIA' if event.get('session') else 'AKIA'}{user}"}
    return {
        "eventVersion": "1.10",
        "userIdentity": {
            "type": "IAMUser", "principalId": f"AIDA{user}", "arn": f"arn:aws:iam::{account}:user/{user}",
            "accountId": account, **key, "userName": event.get("username"),
        },
        "eventTime": event["time"], "eventSource": source, "eventName": name, "awsRegion": "eu-central-1",
        "sourceIPAddress": event.get("ip"), "userAgent": event.get("user_agent"),
        **({"errorMessage": "Failed authentication"} if failed and login else {}),
        **({"errorCode": "AccessDenied", "errorMessage": "Access Denied"} if failed and not login else {}),
        "requestParameters": None if login else {"bucketName": "reports", "key": event.get("endpoint"), "Host": "s3"},
        "responseElements": {"ConsoleLogin": "Failure" if failed else "Success"} if login else None,
        "additionalEventData": {"LoginTo": "https://console.aws.example/", "MobileVersion": "No", "MFAUsed": "No"},
        "requestID": event.get("request_id"), "eventID": event.get("id"), "readOnly": not login,
        "eventType": "AwsConsoleSignIn" if login else "AwsApiCall", "managementEvent": True,
        "recipientAccountId": event.get("tenant"), "eventCategory": "Management",
        "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256"},
    }  # fmt: skip


def cognito(event: Event) -> Event:
    """A user authentication event of Amazon Cognito's log export."""
    moment = datetime.fromisoformat(event["time"])
    answer = _COGNITO_ANSWERS.get(event.get("outcome", ""), "Pass")
    step = f"Password:{'Failure' if answer == 'Fail' else 'Success'}"
    return {
        "eventTimestamp": f"{moment.timestamp() * 1000:.0f}", "eventSource": "USER_ACTIVITY", "logLevel": "INFO",
        "message": {
            "version": "1", "eventId": event.get("id"),
            "eventType": _COGNITO.get(event.get("action", ""), "SignIn"), "userSub": event.get("user"),
            "userName": event.get("username"), "userPoolId": event.get("tenant"), "clientId": event.get("app", "web"),
            "creationDate": f"{moment:%a %b %d %H:%M:%S UTC %Y}", "eventResponse": answer, "riskLevel": "",
            "riskDecision": "PASS",
            "challenges": [step, "Mfa:Success"] if event.get("action") == "mfa_challenge" else [step],
            "deviceName": event.get("device", ""), "ipAddress": event.get("ip"), "requestId": event.get("request_id"),
            "idpName": "", "compromisedCredentialDetected": "false", "city": event.get("city"),
            "country": event.get("country"), "eventFeedbackValue": "", "eventFeedbackDate": "",
            "eventFeedbackProvider": "", "hasContextData": "true",
        },
        "logSourceId": {"userPoolId": event.get("tenant")},
    }  # fmt: skip


def loginradius(event: Event) -> Event:
    """A record of a call to LoginRadius, as it is sent to a SIEM."""
    failed = event.get("outcome") in ("failure", "blocked")
    error = {"ErrorCode": 966, "Description": "The provided username or password is invalid"} if failed else {}
    return {
        "Id": event.get("id"), "Uid": event.get("user"),
        "Email": [
            {"Type": "Secondary", "Value": f"x-{event.get('username')}"},
            {"Type": "Primary", "Value": event.get("username")},
        ],
        "Event": _LOGINRADIUS.get(event.get("action", ""), "GetProfile"), "Timestamp": event["time"],
        "IP": event.get("ip"), "UserAgent": event.get("user_agent"), "Endpoint": event.get("endpoint"),
        "Method": event.get("method", "POST"), "StatusCode": 403 if failed else 200, **error,
        "Country": event.get("country"), "City": event.get("city"), "AppName": event.get("app", "web"),
        "Provider": "Email", "Platform": "Web", "Browser": "Chrome 131", "Device": event.get("device"),
    }  # fmt: skip


def ocsf(event: Event) -> Event:
    """An Authentication, or API Activity, of OCSF 1.3."""
    failed, kind = event.get("outcome") in ("failure", "blocked"), _OCSF.get(event.get("action", ""))
    moment = datetime.fromisoformat(event["time"])
    call = {
        "api": {
            "operation": "GetProfile", "service": {"name": "identity"}, "request": {"uid": event.get("request_id")},
            "response": {"code": event.get("status", 200)},
        },
    }  # fmt: skip
    why = {"status_detail": "Invalid credentials", "status_code": event.get("error_code", "966")} if failed else {}
    return {
        "class_uid": 3002 if kind else 6003, "category_uid": 3 if kind else 6, "activity_id": kind or 2,
        "type_uid": 300200 + kind if kind else 600302, "severity_id": 1, "time": round(moment.timestamp() * 1000),
        "status_id": 2 if failed else 1, "status": "Failure" if failed else "Success", **why,
        "metadata": {
            "version": "1.3.0", "uid": event.get("id"), "tenant_uid": event.get("tenant"),
            "correlation_uid": event.get("request_id"), "product": {"name": "IdP", "vendor_name": "Example"},
        },
        "actor": {"user": {"name": event.get("username"), "uid": event.get("user"), "type_id": 1}},
        "user": {"name": event.get("username"), "uid": event.get("user"), "type_id": 1},
        "src_endpoint": {
            "ip": event.get("ip"), "autonomous_system": {"number": event.get("asn")},
            "location": {
                "country": event.get("country"), "city": event.get("city"),
                "coordinates": [event.get("lon"), event.get("lat")],
            },
        },
        "http_request": {
            "user_agent": event.get("user_agent"), "http_method": event.get("method", "POST"),
            "url": {"path": event.get("endpoint")},
        },
        "session": {"uid": event.get("session")}, "auth_factors": [{"factor_type": "Password", "factor_type_id": 3}],
        "service": {"name": event.get("app", "web")}, "device": {"uid": event.get("device"), "type_id": 2},
        **({} if kind else call),
    }  # fmt: skip


def mapping(event: Event) -> Event:
    """A platform that nobody knows, as `MAPPING` declares it."""
    moment = datetime.fromisoformat(event["time"])
    return {
        "ts": round(moment.timestamp() * 1000), "evt": event.get("action", "").upper(), "ref": event.get("id"),
        "result": {"code": event.get("outcome", "").upper(), "text": event.get("reason"), "http": event.get("status")},
        "who": {"id": event.get("user"), "mail": event.get("username"), "tenant": event.get("tenant")},
        "client": {
            "addr": event.get("ip"), "agent": event.get("user_agent"), "asn": event.get("asn"),
            "geo": {"cc": event.get("country"), "town": event.get("city"), "pos": [event.get("lat"), event.get("lon")]},
            "device": {"id": event.get("device"), "os": "Windows 10", "model": None},
        },
        "http": {"verb": event.get("method"), "path": event.get("endpoint"), "id": event.get("request_id")},
        "session": {"id": event.get("session"), "age": 17}, "application": {"name": event.get("app", "web"), "id": 7},
        "trace": {"host": "idp-3.example", "version": "5.2.1", "thread": "worker-12", "level": "INFO"},
    }  # fmt: skip


MAPPING: Final = """
[[format]]
type = "mapping"
[format.member]
time = { path = "ts", format = "epoch_ms" }
id = "ref"
tenant = "who.tenant"
user = "who.id"
username = "who.mail"
ip = "client.addr"
user_agent = "client.agent"
asn = "client.asn"
country = "client.geo.cc"
city = "client.geo.town"
lat = "client.geo.pos[0]"
lon = "client.geo.pos[1]"
device = "client.device.id"
method = "http.verb"
endpoint = "http.path"
request_id = "http.id"
status = "result.http"
session = "session.id"
app = ["application.name", "application.id"]
[format.member.action]
path = "evt"
default = "api_call"
[format.member.action.table]
LOGIN = "login"
LOGOUT = "logout"
MFA_CHALLENGE = "mfa_challenge"
TOKEN_REFRESH = "token_refresh"
TOKEN_ISSUE = "token_issue"
[format.member.outcome]
path = "result.code"
table = { SUCCESS = "success", FAILURE = "failure", BLOCKED = "blocked", CHALLENGE = "challenge" }
"""
"""The configuration for what `mapping` writes."""


RENDERERS: Final[dict[str, Callable[[Event], Event]]] = {
    "okta": okta, "auth0": auth0, "keycloak": keycloak, "entra": entra, "cloudtrail": cloudtrail,
    "cognito": cognito, "loginradius": loginradius, "ocsf": ocsf, "mapping": mapping,
}  # fmt: skip
"""How an event of format `lapwing` looks in each of the platforms' formats, and in one that is declared."""
