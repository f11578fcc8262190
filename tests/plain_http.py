"""What HTTP clients of tests need to speak to servers without TLS."""

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""No certificates: a client that is not given this loads them when it is made, which takes 25 ms of a processor."""
