"""Many models in one container: loaded beside predictions, kept apart, brought back when they die."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from container_process import soon
from hypothesis import given, settings
from hypothesis import strategies as st
from many_models import ECHO, SLOW, WAITS, ManyModels, says

# One call of the matcher, which keeps the interpreter's lock for longer than anybody would wait.
GREEDY = """
import os, re
def model_fn(model_dir):
    open(os.path.join(model_dir, "began"), "w").close()
    return re.match('(a+)+$', 'a' * 60 + 'b')
def transform_fn(model, data, content_type, accept):
    return 'greedy'
"""

PID = "import os\n" + ECHO + "    return str(os.getpid())\n"

# Says in a folder in which process it is, and waits there for a file `go`.
TAKES_ITS_TIME = (
    "import os, time\n" + ECHO + "    open(f'{data}/on-{os.getpid()}', 'w').close()\n"
    "    while not os.path.exists(f'{data}/go'):\n        time.sleep(0.01)\n    return ''\n"
)


def test_a_container_without_models_is_healthy_and_says_where_to_send_requests(many: ManyModels) -> None:
    many.serve()

    assert many.container.get("/ping").status == 200
    assert many.container.get("/models").json == {"models": []}
    reply = many.container.invoke("1")
    assert reply.status == 404
    assert "/models/{name}/invoke" in reply.json["next_step"]


def test_modules_of_the_same_name_are_not_mixed_up(many: ManyModels) -> None:
    lazy = ECHO + "    import helper, late\n    return helper.NAME + late.NAME\n"
    folders = {
        name: many.add(name, "import helper\n" + lazy, helper=f"NAME = '{name}'", late=f"NAME = '{name}'")
        for name in ("a", "b")
    }
    many.common("import helper\n" + lazy, helper="NAME = 'common'", late="NAME = 'common'")
    folders["none"] = many.add("none")
    many.serve()

    assert [many.load(name, folder).status for name, folder in folders.items()] == [200, 200, 200]
    assert [many.invoke(name).body for name in ("a", "b", "none", "a")] == [b"aa", b"bb", b"commoncommon", b"aa"]


def test_classes_that_a_script_defines_can_be_unpickled_beside_others_of_their_name(many: ManyModels) -> None:
    script = (
        "import os, pickle\nclass Model:\n    said = '{}'\n"
        "def model_fn(d):\n    return pickle.loads(b'cinference\\nModel\\n.')\n"
        "def transform_fn(model, data, content_type, accept):\n    return model.said\n"
    )
    many.common(script.format("common"))
    folders = [many.add("a", script.format("a")), many.add("b", script.format("b")), many.add("c")]
    many.serve()

    assert [many.load(name, folder).status for name, folder in zip("abc", folders, strict=True)] == [200, 200, 200]
    assert [many.invoke(name).body for name in "abc"] == [b"a", b"b", b"common"]


def test_the_code_of_the_container_is_imported_once_for_all_models(many: ManyModels) -> None:
    many.common("print('imported once')\ndef transform_fn(model, data, content_type, accept):\n    return 'common'\n")
    folders = [many.add(name) for name in ("a", "b")]
    many.serve()

    assert [many.load(folder, folder).status for folder in folders] == [200, 200]
    assert [many.invoke(folder).body for folder in folders] == [b"common", b"common"]
    assert many.container.log.count("imported once") == 1


def test_a_load_holds_up_nothing_else(many: ManyModels) -> None:
    slow, quick = many.add("slow", WAITS), many.add("quick", says("quick"))
    many.serve()
    many.load("quick", quick)
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(many.load, "slow", slow)
        soon(lambda: list(Path(slow).glob("began-*")))

        assert many.container.get("/ping").status == 200
        assert many.invoke("quick").body == b"quick"
        assert many.names() == ["quick"]
        assert many.describe("slow").status == 404
        assert many.unload("quick").status == 200
        assert many.load("quick", quick).status == 200
        assert not loading.done()

        Path(slow, "go").touch()
        assert loading.result().status == 200
    assert many.names() == ["quick", "slow"]


def test_a_load_that_never_lets_go_of_the_interpreter_holds_up_nothing_either(many: ManyModels) -> None:
    greedy, quick = many.add("greedy", GREEDY), many.add("quick", says("quick"))
    many.serve()
    many.load("quick", quick)
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(many.load, "greedy", greedy)
        soon(lambda: Path(greedy, "began").exists())
        for _ in range(5):
            assert many.container.get("/ping").status == many.invoke("quick").status == 200
        assert not loading.done()

        assert many.unload("greedy").status == 200
        assert loading.result().status == 503


def test_of_two_that_load_one_name_at_once_one_loads_and_the_other_waits_for_409(many: ManyModels) -> None:
    folder = many.add("m", WAITS)
    many.serve()
    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(many.load, "m", folder) for _ in range(4)]
        soon(lambda: list(Path(folder).glob("began-*")))
        waits = pool.submit(many.invoke, "m")
        time.sleep(0.1)  # nothing to poll for: none of them may have been answered
        assert not any(load.done() for load in [*loads, waits])
        Path(folder, "go").touch()

        assert sorted(load.result().status for load in loads) == [200, 409, 409, 409]
        assert waits.result().body == b"loaded"
    assert len(list(Path(folder).glob("began-*"))) == 1


def test_a_model_whose_code_fails_is_500_with_the_traceback_in_the_log_and_can_be_loaded_again(
    many: ManyModels,
) -> None:
    folder = many.add("m", "def model_fn(model_dir):\n    raise KeyError('the weights')\n")
    many.serve()

    reply = many.load("m", folder)
    assert reply.status == 500
    assert reply.json["error"] == "KeyError: 'the weights'"
    assert 'inference.py", line 2, in model_fn' in many.container.log
    assert many.describe("m").status == many.unload("m").status == many.invoke("m").status == 404
    Path(folder, "code", "inference.py").write_text(says("better"))
    assert many.load("m", folder).status == 200
    assert many.invoke("m").body == b"better"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "there is no inference.py"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("def model_fn(:", "SyntaxError"),
        ("import sys\ndef model_fn(d):\n    sys.exit(3)", "the script asked for exit code 3"),
        ("import os\ndef model_fn(d):\n    os._exit(3)", "the model's process ended with exit code 3"),
        ("import os\ndef model_fn(d):\n    os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("def input_fn(data, content_type):\n    pass", "there is no model_fn"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(many: ManyModels, script: str, said: str) -> None:
    folder = many.add("m", script)
    many.serve()

    reply = many.load("m", folder)
    assert reply.status == 500
    assert said in reply.json["error"]
    assert many.names() == []
    assert many.container.get("/ping").status == 200


def test_a_load_can_be_given_up(many: ManyModels) -> None:
    folder = many.add("m", WAITS)
    many.serve()
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(many.load, "m", folder)
        (began,) = soon(lambda: list(Path(folder).glob("began-*")))

        assert many.unload("m").status == 200
        assert loading.result().status == 503
    soon(lambda: not Path(f"/proc/{began.name.removeprefix('began-')}").exists())
    assert many.unload("m").status == 404


def test_a_load_goes_on_when_its_caller_has_left(many: ManyModels) -> None:
    folder = many.add("m", WAITS)
    many.serve()
    caller = http.client.HTTPConnection("127.0.0.1", many.container.port, timeout=20)
    body = f'{{"model_name": "m", "url": "{folder}"}}'
    caller.request("POST", "/models", body, {"Content-Type": "application/json"})
    soon(lambda: list(Path(folder).glob("began-*")))
    caller.close()
    Path(folder, "go").touch()

    soon(lambda: many.names() == ["m"])
    assert many.invoke("m").body == b"loaded"


NAMES = ["a/b", "..", "/", "x/invoke", "invoke", "%41", " ", "ü☃", "a\nb", "a?b=c&d", "'\"\\", "n" * 8000]


def test_a_name_is_opaque(many: ManyModels) -> None:
    folder = many.add("m", says("here"))
    many.serve()
    for name in NAMES:
        assert many.load(name, folder).status == 200, name
    assert many.names() == sorted(NAMES)
    for name in NAMES:
        assert many.load(name, folder).status == 409, name
        assert many.describe(name).json["modelName"] == name
        assert many.invoke(name).body == b"here", name
        assert many.unload(name).status == 200, name
        assert many.invoke(name).status == many.unload(name).status == 404, name
        # Without a model of that name, GET .../invoke is a request for the wrong method.
        assert many.describe(name).status == (405 if name.endswith("/invoke") else 404), name
    assert many.names() == []


def test_any_text_is_a_name(many: ManyModels) -> None:
    folder = many.add("m", says("here"))
    many.serve()

    @settings(max_examples=40, deadline=None)
    @given(st.text(min_size=1, max_size=50).filter(lambda name: not name.endswith("/invoke")))
    def round_trip(name: str) -> None:
        assert many.load(name, folder).status == 200
        assert many.names() == [name]
        assert many.describe(name).json["modelName"] == name
        assert many.invoke(name).body == b"here"
        assert many.unload(name).status == 200
        assert many.describe(name).status == 404

    round_trip()


def test_pages_hold_every_model_once(many: ManyModels) -> None:
    folder = many.add("m", says("here"))
    many.serve()
    names = sorted(f"model-{number}" for number in range(7))
    for name in names:
        many.load(name, folder)

    for limit in (1, 2, 3, 7, 100):
        seen: list[str] = []
        token = "0"
        while token:
            page = many.container.get(f"/models?limit={limit}&next_page_token={token}").json
            assert len(page["models"]) <= limit
            assert {model["modelUrl"] for model in page["models"]} == {folder}
            seen += [model["modelName"] for model in page["models"]]
            token = page.get("nextPageToken", "")
        assert seen == names


def test_a_model_gets_the_request_whole_and_its_answer_goes_out_whole(many: ManyModels) -> None:
    script = (
        "def transform_fn(model, data, content_type, accept, context):\n"
        "    context.custom_attributes = context.custom_attributes.upper()\n"
        "    context.set_response_status(418)\n"
        "    target = context.header('X-Amzn-SageMaker-Target-Model')\n"
        "    return '|'.join([data, content_type, accept, target, context.model_dir]), 'text/x-answer'\n"
    )
    folder = many.add("m", script)
    many.serve()
    many.load("m", folder)

    sent = {"X_Amzn_SageMaker_Custom_Attributes": "attr", "X_Amzn_SageMaker_Target_Model": "m.tar.gz", "Accept": "a/b"}
    reply = many.invoke("m", "1,2", **sent)
    assert reply.status == 418
    assert reply.body.decode() == f"1,2|text/csv|a/b|m.tar.gz|{folder}"
    assert reply.headers["content-type"] == "text/x-answer"
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "ATTR"


def test_a_large_body_and_a_large_answer_pass(many: ManyModels) -> None:
    folder = many.add("m", ECHO + "    return data\n")
    many.serve()
    many.load("m", folder)

    body = "0123456789abcdef" * (6 * 65536)
    reply = many.invoke("m", body)
    assert reply.body == body.encode()
    assert many.invoke("m", "x" * (26 * 1024 * 1024)).status == 413


def test_an_answer_goes_out_piece_by_piece(many: ManyModels) -> None:
    script = (
        "import os, time\n" + ECHO + "    yield 'first'\n    while not os.path.exists(data):\n"
        "        time.sleep(0.01)\n    yield 'second'\n"
    )
    go = many.container.root / "go"
    folder = many.add("m", script)
    many.serve()
    many.load("m", folder)
    connection = http.client.HTTPConnection("127.0.0.1", many.container.port, timeout=20)
    connection.request("POST", "/models/m/invoke", str(go), {"Content-Type": "text/csv"})
    answer = connection.getresponse()

    assert answer.read(5) == b"first"
    go.touch()
    assert answer.read() == b"second"
    connection.close()


def test_unloading_waits_for_what_is_in_flight(many: ManyModels) -> None:
    with many.under_way() as (pid, in_flight):
        assert many.unload("m").status == 200
        assert in_flight.result().body == b"0.7"
    assert not Path(f"/proc/{pid}").exists()


def test_each_model_has_as_many_workers_as_the_variable_says(many: ManyModels) -> None:
    folders = [many.add(name, PID) for name in ("a", "b")]
    many.serve(SAGEMAKER_MODEL_SERVER_WORKERS="2")
    for folder in folders:
        assert many.load(folder, folder).status == 200
    slow = many.add("slow", TAKES_ITS_TIME)
    many.load("slow", slow)

    with ThreadPoolExecutor(8) as pool:
        for folder in folders:
            assert soon(lambda folder=folder: len({r.body for r in pool.map(many.invoke, [folder] * 32)}) == 2)
        both = [pool.submit(many.invoke, "slow", slow) for _ in range(2)]
        soon(lambda: len(list(Path(slow).glob("on-*"))) == 2)
        Path(slow, "go").touch()
        assert [reply.result().status for reply in both] == [200, 200]
    assert many.describe("slow").json["maxWorkers"] == 2
    assert many.container.stop() == 0


def test_async_functions_and_failing_ones_answer_as_on_invocations(many: ManyModels) -> None:
    calm = many.add("calm", "async def model_fn(d):\n    return 'calm'\nasync def predict_fn(x, m):\n    return m\n")
    bad = many.add("bad", "def model_fn(d):\n    return 1\ndef predict_fn(x, m):\n    raise ValueError('no')\n")
    many.serve()
    many.load("calm", calm)
    many.load("bad", bad)

    assert many.invoke("calm").json == "calm"
    assert many.invoke("bad").status == 500
    assert many.invoke("bad", '1,x,"').status == 400


def test_a_prediction_that_takes_too_long_is_504(many: ManyModels) -> None:
    folder = many.add("m", SLOW)
    many.serve(SAGEMAKER_MODEL_SERVER_TIMEOUT="0.4")
    many.load("m", folder)

    assert many.invoke("m", "60").status == 504
    assert many.container.get("/ping").status == 200


def test_a_long_path_for_temporary_files_is_no_hindrance(many: ManyModels) -> None:
    long = many.container.root / ("t" * 120)
    long.mkdir()
    folder = many.add("m", says("here"))
    many.serve(TMPDIR=str(long))

    assert many.load("m", folder).status == 200
    assert many.invoke("m").body == b"here"
    assert many.container.stop() == 0


def test_a_path_with_the_encoded_and_the_plain_slash_is_one_name(many: ManyModels) -> None:
    folder = many.add("m", says("here"))
    many.serve()
    many.load("a/b", folder)

    assert (
        many.container.get("/models/a/b").status == many.container.get(f"/models/{quote('a/b', safe='')}").status == 200
    )
