"""Simulated events as the identity platforms would have written them: the same traffic in their layouts and sizes."""

from collections.abc import Callable
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


RENDERERS: Final[dict[str, Callable[[Event], Event]]] = {
    "okta": okta, "auth0": auth0, "keycloak": keycloak, "entra": entra,
}  # fmt: skip
"""How an event of format `lapwing` looks in each of the platforms' formats."""
