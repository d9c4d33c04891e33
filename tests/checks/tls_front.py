"""A TLS server in front of a plain one, with its own certificate authority."""

import contextlib
import pathlib
import socket
import ssl
import threading

import trustme


class TlsFront:
    """Forwards bytes to a loopback port. Use it in a `with`.

    `over` is the only protocol that ALPN offers (`h2` or `http/1.1`). A client must have a certificate of the same authority:
    `client_certificate` and `client_key` are its files, and `authority` is the authority's.
    """

    def __init__(self, directory, target_port, over):
        directory = pathlib.Path(directory)
        directory.mkdir()
        authority = trustme.CA()
        self.authority = directory / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        client = authority.issue_cert("somebody@example.com")
        self.client_certificate = directory / "client.pem"
        client.cert_chain_pems[0].write_to_path(self.client_certificate)
        self.client_key = directory / "client.key"
        client.private_key_pem.write_to_path(self.client_key)

        self.target_port = target_port
        self.handshakes = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_alpn_protocols([over])
        self.context.verify_mode = ssl.CERT_REQUIRED
        authority.issue_cert("localhost").configure_cert(self.context)
        authority.configure_trust(self.context)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                plain, _ = self.listening.accept()
            except OSError:
                return  # the `with` has ended
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        with contextlib.suppress(OSError), self.context.wrap_socket(plain, server_side=True) as outside:
            self.handshakes += 1
            with socket.create_connection(("127.0.0.1", self.target_port)) as inside:
                back = threading.Thread(target=self._pass, args=(inside, outside), daemon=True)
                back.start()
                self._pass(outside, inside)
                back.join()

    @staticmethod
    def _pass(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The shutdown ends `accept` in the other thread; a close does not.
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
