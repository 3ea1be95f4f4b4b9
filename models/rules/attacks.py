"""Names of the MITRE ATT&CK (Enterprise) tactics and techniques that matter to identity."""

import re
from typing import Final

import msgspec

from models.rules.base import Attack

TACTICS: Final = {
    "TA0043": "Reconnaissance", "TA0042": "Resource Development", "TA0001": "Initial Access", "TA0002": "Execution",
    "TA0003": "Persistence", "TA0004": "Privilege Escalation", "TA0005": "Defense Evasion",
    "TA0006": "Credential Access", "TA0007": "Discovery", "TA0008": "Lateral Movement", "TA0009": "Collection",
    "TA0011": "Command and Control", "TA0010": "Exfiltration", "TA0040": "Impact",
}  # fmt: skip
TECHNIQUES: Final = {
    "T1078": "Valid Accounts", "T1078.001": "Default Accounts", "T1078.004": "Cloud Accounts",
    "T1087": "Account Discovery", "T1087.003": "Email Account", "T1087.004": "Cloud Account",
    "T1098": "Account Manipulation", "T1098.001": "Additional Cloud Credentials",
    "T1098.003": "Additional Cloud Roles", "T1098.005": "Device Registration", "T1110": "Brute Force",
    "T1110.001": "Password Guessing", "T1110.002": "Password Cracking", "T1110.003": "Password Spraying",
    "T1110.004": "Credential Stuffing", "T1111": "Multi-Factor Authentication Interception",
    "T1133": "External Remote Services", "T1136": "Create Account", "T1136.003": "Cloud Account",
    "T1190": "Exploit Public-Facing Application", "T1212": "Exploitation for Credential Access",
    "T1213": "Data from Information Repositories", "T1484": "Domain or Tenant Policy Modification",
    "T1485": "Data Destruction", "T1498": "Network Denial of Service", "T1498.001": "Direct Network Flood",
    "T1499": "Endpoint Denial of Service", "T1499.002": "Service Exhaustion Flood",
    "T1499.003": "Application Exhaustion Flood", "T1526": "Cloud Service Discovery",
    "T1528": "Steal Application Access Token", "T1530": "Data from Cloud Storage",
    "T1531": "Account Access Removal", "T1539": "Steal Web Session Cookie",
    "T1550": "Use Alternate Authentication Material", "T1550.001": "Application Access Token",
    "T1550.004": "Web Session Cookie", "T1552": "Unsecured Credentials",
    "T1556": "Modify Authentication Process", "T1556.006": "Multi-Factor Authentication",
    "T1562": "Impair Defenses", "T1562.008": "Disable or Modify Cloud Logs", "T1565": "Data Manipulation",
    "T1566": "Phishing", "T1567": "Exfiltration Over Web Service", "T1585": "Establish Accounts",
    "T1589": "Gather Victim Identity Information", "T1589.001": "Credentials", "T1589.002": "Email Addresses",
    "T1595": "Active Scanning", "T1606": "Forge Web Credentials",
    "T1621": "Multi-Factor Authentication Request Generation",
}  # fmt: skip
_SHAPES: Final = {
    "tactic": re.compile(r"TA[0-9]{4}", re.ASCII),
    "technique": re.compile(r"T[0-9]{4}", re.ASCII),
    "sub_technique": re.compile(r"T[0-9]{4}\.[0-9]{3}", re.ASCII),
}


class AttackRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A (sub-)technique under its tactic, by id; names are looked up where they are not given."""

    tactic: str
    technique: str
    sub_technique: str = ""
    tactic_name: str = ""
    technique_name: str = ""
    sub_technique_name: str = ""


def resolve(ref: AttackRef) -> Attack:
    """The names beside the ids; empty where one is neither given nor known.

    >>> resolve(AttackRef(tactic="TA0006", technique="T1110", sub_technique="T1110.003")).sub_technique_name
    'Password Spraying'
    """
    return Attack(
        ref.tactic, ref.tactic_name or TACTICS.get(ref.tactic, ""),
        ref.technique, ref.technique_name or TECHNIQUES.get(ref.technique, ""),
        ref.sub_technique, ref.sub_technique_name or TECHNIQUES.get(ref.sub_technique, ""),
    )  # fmt: skip


def faults(ref: AttackRef, path: str) -> list[str]:
    """What is wrong with a reference, one line a fault."""
    found = []
    named = resolve(ref)
    for key, shape in _SHAPES.items():
        text = getattr(ref, key)
        if key == "sub_technique" and not text:
            continue
        if not shape.fullmatch(text):
            example = {"tactic": "TA0006", "technique": "T1110"}.get(key, "T1110.003")
            found.append(f'Expected an ATT&CK id such as "{example}", got {text[:40]!a} - at {path}.{key}')
        elif not getattr(named, f"{key}_name"):
            found.append(f"The name of {text} is not known here: give it as {key}_name - at {path}.{key}")
        elif key == "sub_technique" and not text.startswith(ref.technique + "."):
            found.append(f"Expected a sub-technique of {ref.technique[:40]!a}, got {text} - at {path}.{key}")
    return found
