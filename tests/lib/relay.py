"""A TCP relay whose target can be moved while it runs: a service address; and what was said through it."""
import socket
import threading

IP_BIND_ADDRESS_NO_PORT = 24  # Python knows it by name from 3.12 on


class Relay:
    """Listens on a free port of loopback. Without a target who connects waits, as at a firewall that drops.

    The target sees the loopback address SOURCE.
    """

    def __init__(self, target=None, records=False, source="127.0.0.1"):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.target, self.records, self.source = target, records, source
        self.moved = threading.Condition()
        self.open, self.talks, self.failures, self.is_closed = set(), [], [], False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with self.moved:
            self.moved.wait_for(lambda: self.target is not None or self.is_closed)
            target = self.target
        try:
            server = self.connect(target)
        except (OSError, TypeError) as e:
            self.failures.append(f"to port {target}: {e!r}")
            client.close()
            return
        server.settimeout(None)
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = {"C": bytearray(), "S": bytearray()}
        with self.moved:
            self.open |= {client, server}
            if self.records:
                self.talks.append(talk)
        back = threading.Thread(target=self.pump, args=(server, client, talk["S"]), daemon=True)
        back.start()
        self.pump(client, server, talk["C"])
        back.join()
        with self.moved:
            self.open -= {client, server}
        client.close()
        server.close()

    def connect(self, target):
        """From the source's address, but its port is chosen when the target is known: one that is chosen before may be that of a
        connection to the same target which the system still remembers."""
        server = socket.socket()
        try:
            server.settimeout(10)
            server.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            server.bind((self.source, 0))
            server.connect(("127.0.0.1", target))
        except BaseException:
            server.close()
            raise
        return server

    def pump(self, source, to, heard):
        try:
            while data := source.recv(65536):
                if self.records:
                    heard += data
                to.sendall(data)
        except OSError:
            pass
        self.shut(source, to)

    @staticmethod
    def shut(*sockets):
        for s in sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """End all connections."""
        with self.moved:
            for s in self.open:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def move(self, target):
        """Lead to another port; connections to the old one end."""
        with self.moved:
            self.target = target
            self.moved.notify_all()
        self.cut()

    def close(self):
        with self.moved:
            self.is_closed = True
            self.moved.notify_all()
        self.listener.close()
        self.cut()
