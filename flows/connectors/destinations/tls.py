"""TLS to a destination: verified, always."""

import os
import ssl

from flows.errors import UsageError
from flows.forward_block import Destination
from flows.kafka_block import secret


def context(one: Destination) -> ssl.SSLContext:
    """A context that checks the certificate and the host's name, with the client's own certificate if there is one.

    Raises
    ------
    UsageError
        A file cannot be read, or is no certificate or key.
    """
    faults: list[str] = []
    password = secret(one.key_password_env, "", "key password", faults) if one.key_password_env else ""
    if faults:
        raise UsageError(f"[[destination]] {one.id}: {faults[0]}")
    for path in (one.ca_file, one.certificate_file, one.key_file):
        if path and not os.access(path, os.R_OK):
            raise UsageError(f"[[destination]] {one.id}: {path} cannot be read")
    try:
        made = ssl.create_default_context(cafile=one.ca_file or None)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if one.certificate_file:
            made.load_cert_chain(one.certificate_file, one.key_file, lambda: password)
    except (ssl.SSLError, OSError, ValueError) as error:
        files = one.ca_file if not one.certificate_file else f"{one.certificate_file} and {one.key_file}"
        raise UsageError(f"[[destination]] {one.id}: {files} cannot be used ({error})") from None
    return made


def secrets(one: Destination, *names: str) -> list[str]:
    """The secrets that stand in the environment variables that these keys name.

    Raises
    ------
    UsageError
        Those that are missing or no header's text, each one named, never what was found.
    """
    faults: list[str] = []
    found = [secret(getattr(one, name), "", name.removesuffix("_env").replace("_", " "), faults) for name in names]
    for name, value in zip(names, found, strict=True):
        if not faults and (not value or not value.isascii() or not value.isprintable()):
            faults.append(f"{getattr(one, name)} is empty, or has characters that no header may have")
    if faults:
        raise UsageError("\n".join(f"[[destination]] {one.id}: {fault}" for fault in faults))
    return found
