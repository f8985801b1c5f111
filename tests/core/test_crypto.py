from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from carbonpoints.core.crypto import SUITE


@given(key=st.binary(min_size=1, max_size=150), message=st.binary(max_size=300))
def test_the_mac_is_the_standard_librarys_hmac_sha_256(key: bytes, message: bytes) -> None:
    assert SUITE.mac(key, message) == hmac.digest(key, message, "sha256")
