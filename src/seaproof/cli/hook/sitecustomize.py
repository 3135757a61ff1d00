"""Read by every Python that `seaproof run` starts: sends clients to the local server whose address an SDK built itself.

The SageMaker SDKs make their STS client with `endpoint_url="https://sts.<region>.amazonaws.com"`, and AWS_ENDPOINT_URL
does not reach that. Once botocore is imported, such an address of AWS is replaced by that variable's; so is none at
all where botocore is older than the variable, as in Debian's AWS CLI. The interpreter may be any: this file needs the
standard library only, and leaves a sitecustomize.py of the environment's own in force.
"""

import importlib
import importlib.abc
import importlib.machinery
import os
import re
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would cost each start
_OF_AWS = re.compile(r"https://([a-z0-9.-]+\.)?(amazonaws\.com(\.cn)?|api\.aws)(/|$)")


_SESSIONS = ("botocore.session", "awscli.botocore.session")


def _mended(create_client, knows_variable):
    def create_client_here(self, service_name, *args, **options):
        local, given = os.environ.get("AWS_ENDPOINT_URL"), options.get("endpoint_url")
        if local and (_OF_AWS.match(given) if given else not knows_variable and len(args) < 5):
            options["endpoint_url"] = local
        return create_client(self, service_name, *args, **options)

    return create_client_here


class _Finder(importlib.abc.MetaPathFinder):
    """Finds botocore's session as everybody does, and mends it when it has been loaded."""

    def find_spec(self, name, path=None, target=None):
        if name not in _SESSIONS:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path, target)
        if found is None or found.loader is None:
            return found
        load = found.loader.exec_module

        def exec_module(module):
            load(module)
            providers = importlib.import_module(name.rpartition(".")[0] + ".configprovider")
            knows_variable = hasattr(providers, "ConfiguredEndpointProvider")
            module.Session.create_client = _mended(module.Session.create_client, knows_variable)

        found.loader.exec_module = exec_module
        return found


def _run_the_one_that_this_hides():
    others = [folder for folder in sys.path if os.path.abspath(folder or ".") != _HERE]  # noqa: PTH100
    hidden = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if hidden is not None and hidden.loader is not None:
        module = type(sys)("sitecustomize")
        module.__spec__, module.__file__ = hidden, hidden.origin
        hidden.loader.exec_module(module)


sys.meta_path.insert(0, _Finder())
_run_the_one_that_this_hides()
