"""localstripe on a free port of loopback. Its own entry point takes a fixed one on every interface,
and keeps its data in a file that all of them would share."""

from aiohttp import web
from localstripe.resources import Store
from localstripe.server import app

Store.dump_to_disk = lambda self: None
web.run_app(app, host="127.0.0.1", port=0)
