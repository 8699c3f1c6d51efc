"""A served annotation page and questions to it."""

import http.client
import threading
from contextlib import contextmanager

from unlearnbench.ratings.human.server import AnnotationStudy, make_server
from unlearnbench.ratings.human.sheet import read_key

JSON = {"Content-Type": "application/json"}


@contextmanager
def serving(folder, annotator="anna", port=0):
    """The server of the sheet in a folder, on its own thread."""
    server = make_server(AnnotationStudy.open(folder, annotator), port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(server, method, path, body=None, **headers):
    """The answer's status, headers and text."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def first_item(key_path):
    return next(iter(read_key(key_path).items))
