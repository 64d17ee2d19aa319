"""A Bugsink server of a test's own: `server.py FOLDER PROJECTS`. It says its address and the DSN of each project, one a
line, and serves until its standard input ends. The folder goes with it."""

import os
import shutil
import subprocess
import sys
import threading
from http.client import HTTPConnection
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

folder, projects = Path(sys.argv[1]), int(sys.argv[2])


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = make_server("127.0.0.1", 0, None, server_class=Server, handler_class=Quiet)
os.chdir(folder)
create = Path(sys.executable).with_name("bugsink-create-conf")
options = ["--template=singleserver", "--host=127.0.0.1", f"--port={server.server_port}", f"--base-dir={folder}"]
subprocess.run([create, *options], check=True, stdout=subprocess.DEVNULL)
with open("bugsink_conf.py", "a") as conf:
    # Events are digested while they are sent, by this process.
    conf.write('\nSNAPPEA["TASK_ALWAYS_EAGER"] = True\nSECURE_SSL_REDIRECT = False\nALLOWED_HOSTS = ["*"]\n')
sys.path.insert(0, str(folder))
os.environ["DJANGO_SETTINGS_MODULE"] = "bugsink_conf"

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from projects.models import Project  # noqa: E402

call_command("migrate", verbosity=0)
call_command("migrate", database="snappea", verbosity=0)
for number in range(projects):
    name = f"test-{number}"
    project = Project.objects.create(name=name, slug=name)
    print(f"http://{project.sentry_key.hex}@127.0.0.1:{server.server_port}/{project.id}", flush=True)
server.set_app(get_wsgi_application())
print("ready", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
shutil.rmtree(folder, ignore_errors=True)
