"""Checks that look and start nothing: for each a real example that fails it for exactly that reason."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from containers import archive, causes, folder, link, outcome, prove, server

from seaproof.check.check import FAILED, NOT_APPLICABLE, PASSED, UNCHECKED, WARNED
from seaproof.errors import ProjectError, SeaproofError

TRAIN = "#!/bin/sh\nexit 0\n"


def found(target: Path, id: str, **options: object) -> tuple[str, str]:
    report = prove(target, id, fast=True, **options)
    return outcome(report, id), causes(report, id)


@pytest.mark.bad("SP001")
def test_a_program_that_is_not_there_is_missed(tmp_path: Path):
    (tmp_path / "seaproof.toml").write_text('[images.it]\nfolder = "."\nserve = ["gone"]\n[project]\nimage = "it"\n')

    assert found(tmp_path, "SP001", roles=("realtime",)) == (
        FAILED,
        "the ENTRYPOINT's program `gone` is not in the image",
    )


@pytest.mark.bad("SP001")
@pytest.mark.good("SP001")
def test_a_folder_without_train_is_no_training_image(tmp_path: Path):
    folder(tmp_path, serve=server())

    assert found(tmp_path, "SP001", roles=("training",)) == (FAILED, "an executable named `train` is not in the image")
    assert found(tmp_path, "SP001", roles=("realtime",)) == (PASSED, "")


@pytest.mark.bad("SP050")
@pytest.mark.good("SP001")
def test_a_training_image_has_no_server(tmp_path: Path):
    folder(tmp_path, train=TRAIN)

    assert found(tmp_path, "SP050", roles=("realtime",))[0] == FAILED
    assert found(tmp_path, "SP001", roles=("realtime",))[0] == PASSED


@pytest.mark.bad("SP002")
def test_a_program_without_execute_bit_is_found(tmp_path: Path):
    folder(tmp_path, serve=server())
    (tmp_path / "serve").chmod(0o644)

    assert found(tmp_path, "SP002") == (FAILED, "/opt/program/serve has no execute bit")


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        (b"#!/usr/bin/env python3\r\nprint()\r\n", "Windows line ends"),
        (b"#!/usr/local/bin/python9\n", "names the interpreter /usr/local/bin/python9, which is not there"),
        (b"#!/usr/bin/env python9\n", "names the interpreter python9"),
        (b"print('no first line')\n", "has no `#!` line"),
    ],
)
@pytest.mark.bad("SP003")
def test_a_script_that_the_kernel_cannot_start_is_found(tmp_path: Path, program: bytes, cause: str):
    folder(tmp_path, serve=program)
    state, told = found(tmp_path, "SP003")

    assert state == FAILED
    assert cause in told


@pytest.mark.bad("SP004")
@pytest.mark.good("SP003", "SP004")
def test_a_program_in_c_is_looked_at_by_its_header(tmp_path: Path):
    folder(tmp_path, main_c="int main(void) { return 0; }")
    subprocess.run(["gcc", "-o", str(tmp_path / "serve"), str(tmp_path / "main.c")], check=True)

    assert found(tmp_path, "SP003")[0] == PASSED
    assert found(tmp_path, "SP004")[0] == PASSED
    assert found(tmp_path, "SP004", instance_type="ml.c7g.large")[0] == FAILED
    program = bytearray((tmp_path / "serve").read_bytes())
    program[18] = 0xB7  # EM_AARCH64
    (tmp_path / "serve").write_bytes(program)
    assert found(tmp_path, "SP004") == (FAILED, "/opt/program/serve is a program for arm64, and ml.m5.large is amd64")


@pytest.mark.bad("SP003")
def test_a_loader_of_another_libc_is_missed(tmp_path: Path):
    folder(tmp_path, main_c="int main(void) { return 0; }")
    loader = "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.9"
    subprocess.run(["gcc", loader, "-o", str(tmp_path / "serve"), str(tmp_path / "main.c")], check=True)

    assert "needs the loader /lib/ld-musl-x86_64.so.9" in found(tmp_path, "SP003")[1]


@pytest.mark.bad("SP005")
@pytest.mark.good("SP005")
def test_an_index_of_manifests_is_refused(tmp_path: Path):
    index = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:0", "size": 1}
    image = archive(
        tmp_path / "image.tar",
        ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
        ("index.json", json.dumps({"schemaVersion": 2, "manifests": [index]}).encode()),
        mode="w",
    )
    single = {**index, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    good = archive(
        tmp_path / "good.tar",
        ("oci-layout", b"{}"),
        ("index.json", json.dumps({"schemaVersion": 2, "manifests": [single]}).encode()),
        mode="w",
    )

    assert found(image, "SP005") == (FAILED, "its manifest is application/vnd.oci.image.index.v1+json")
    assert found(good, "SP005")[0] == PASSED


def saved(path: Path, *layers: list[tarfile.TarInfo | tuple[str, bytes]], **config: object) -> Path:
    """An image as `docker save` writes it: its configuration, and layers of files."""
    members: list[tuple[str, bytes]] = []
    for number, files in enumerate(layers):
        layer = archive(path.with_suffix(f".{number}"), *files, mode="w:gz" if number % 2 else "w")
        members.append((f"layer{number}.tar", layer.read_bytes()))
    listed = [{"Config": "config.json", "Layers": [name for name, _ in members]}]
    members += [("config.json", json.dumps({"architecture": "amd64", "config": config}).encode())]
    return archive(path, *members, ("manifest.json", json.dumps(listed).encode()), mode="w")


@pytest.mark.bad("SP002", "SP033", "SP036")
@pytest.mark.good("SP002", "SP005", "SP033", "SP036")
def test_an_image_in_a_file_is_looked_at_layer_by_layer(tmp_path: Path):
    program = tarfile.TarInfo("usr/bin/serve")
    program.mode = 0o644
    python, driver = ("usr/bin/python3", b"x"), ("usr/lib64/libcuda.so.1", b"\x7fELF")
    bad = saved(tmp_path / "bad.tar", [python, driver], [program], Env=["PATH=/usr/bin"])
    gone = ("usr/lib64/.wh.libcuda.so.1", b"")
    program.mode = 0o755
    good = saved(tmp_path / "good.tar", [python, driver], [gone, program], Env=["PATH=/usr/bin"])

    report = prove(bad, fast=True, roles=("realtime", "serverless"), image_limit=1_000)
    assert causes(report, "SP002") == "/usr/bin/serve has no execute bit"
    assert causes(report, "SP033") == "/usr/lib64/libcuda.so.1 is in the image"
    assert "bytes, more than the 1,000 that are taken" in causes(report, "SP036")
    report = prove(good, fast=True, roles=("realtime", "serverless"))
    assert [r.check.id for r in report.results if r.findings] == []
    assert outcome(report, "SP005") == PASSED


@pytest.mark.bad("SP006")
@pytest.mark.good("SP006")
def test_an_entrypoint_in_shell_form_drops_the_verb(tmp_path: Path):
    dockerfile = "FROM scratch\nCOPY . /opt/program\nENTRYPOINT python3 /opt/program/serve\n"
    folder(tmp_path, Dockerfile=dockerfile, serve=server())
    report = prove(tmp_path, "SP006", fast=True, driver="auto")

    assert outcome(report, "SP006") == FAILED
    finding = report.results[0].findings[0]
    assert finding.fix == 'ENTRYPOINT ["python3", "/opt/program/serve"]'
    assert finding.place.endswith("Dockerfile:3")
    folder(tmp_path, Dockerfile=dockerfile.replace("python3 /opt/program/serve", '["/opt/program/serve"]'))
    assert outcome(prove(tmp_path, "SP006", fast=True, driver="auto"), "SP006") == PASSED


@pytest.mark.good("SP001", "SP002")
def test_a_dockerfile_is_read_with_variables_stages_and_continued_lines(tmp_path: Path):
    text = (
        "ARG BASE=scratch\nFROM $BASE AS first\nENV HOME_OF=/srv A=b \\\n    C=d\nWORKDIR $HOME_OF\n"
        "FROM first\n# a comment\nCOPY serve ./bin/\nRUN chmod +x bin/serve && \\\n    true\n"
        'LABEL com.amazonaws.sagemaker.capabilities.multi-models=true\nENTRYPOINT ["bin/serve"]\n'
    )
    folder(tmp_path, Dockerfile=text, serve=server())
    (tmp_path / "serve").chmod(0o644)

    report = prove(tmp_path, "SP001", "SP002", fast=True, driver="auto")
    assert [outcome(report, id) for id in ("SP001", "SP002")] == [PASSED, PASSED]
    assert "multi-model" in report.roles


@pytest.mark.parametrize(
    "made",
    [
        "COPY --chmod=755 . /app/",
        "COPY . /app\nRUN chmod -R 755 /app",
        "COPY . /app\nRUN chmod a+rx /app/*",
        "COPY . $APP_HOME\nRUN chmod ug+x,o-w $APP_HOME/serve",
        "COPY . /app\nRUN cd /app && chmod --recursive +x .",
        "COPY . /app\nRUN find /app -name serve -exec chmod +x {} \\;",
        "COPY . /app\nRUN <<EOF\nset -e\nchmod +x /app/serve\nEOF",
        "COPY . /app\nRUN python3 -c 'print(1<<2)'\nRUN chmod 0755 /app/serve",
    ],
)
def test_the_many_ways_to_make_a_program_executable_are_known(tmp_path: Path, made: str):
    folder(tmp_path, Dockerfile=f"FROM scratch\nENV APP_HOME=/app PATH=/app:$PATH\n{made}\n", serve=server())
    (tmp_path / "serve").chmod(0o644)
    report = prove(tmp_path, "SP001", "SP002", fast=True, driver="auto", roles=("realtime",))

    assert [outcome(report, id) for id in ("SP001", "SP002")] == [PASSED, PASSED]
    folder(tmp_path, Dockerfile=f"FROM scratch\nENV APP_HOME=/app PATH=/app:$PATH\n{made}\n".replace("chmod", "chown"))
    assert outcome(prove(tmp_path, "SP002", fast=True, driver="auto", roles=("realtime",)), "SP002") == FAILED


def test_an_init_in_front_of_the_verb_is_looked_behind(tmp_path: Path):
    text = 'FROM scratch\nCOPY . /usr/bin/\nENTRYPOINT ["/usr/bin/tini", "-g", "--"]\n'
    folder(tmp_path, Dockerfile=text, train=TRAIN, tini="")
    (tmp_path / "train").chmod(0o644)
    report = prove(tmp_path, "SP002", fast=True, driver="auto")

    assert report.roles == ("training",)
    assert causes(report, "SP002") == "/usr/bin/train has no execute bit"


def test_a_cmd_that_is_replaced_is_told_before_anything_is_built(tmp_path: Path):
    text = 'FROM nobody/made-this\nCOPY app.py /app/\nCMD ["python3", "/app/app.py"]\n'
    folder(tmp_path, Dockerfile=text, app_py="")
    report = prove(tmp_path, "SP001", fast=True, driver="auto")

    assert outcome(report, "SP001") == WARNED
    assert "and its CMD is replaced by `serve`" in causes(report, "SP001")
    for more in ("RUN make-me /usr/bin/serve\n", 'ENTRYPOINT ["sh"]\n'):
        folder(tmp_path, Dockerfile=text + more)
        assert outcome(prove(tmp_path, "SP001", fast=True, driver="auto"), "SP001") == UNCHECKED


@pytest.mark.parametrize(
    ("entrypoint", "state", "fix"),
    [
        ('["sh", "-c", "exec /app/$0"]', PASSED, ""),
        ('["/bin/bash", "-lc", "exec python3 main.py \\"$@\\"", "main"]', PASSED, ""),
        ("['python3', 'main.py',]", FAILED, 'ENTRYPOINT ["python3", "main.py"]'),
        ('["/bin/bash", "-lc", "exec python3 main.py"]', FAILED, 'ENTRYPOINT ["python3", "main.py"]'),
        (
            "cd /app && gunicorn app:app",
            FAILED,
            (
                "ENTRYPOINT []\nRUN printf '%s\\n' '#!/bin/sh' 'cd /app && exec gunicorn app:app'"
                " > /usr/local/bin/serve && chmod +x /usr/local/bin/serve"
            ),
        ),
    ],
)
def test_a_shell_that_is_given_the_verb_is_no_shell_form(tmp_path: Path, entrypoint: str, state: str, fix: str):
    folder(tmp_path, Dockerfile=f"FROM scratch\nENTRYPOINT {entrypoint}\n")
    report = prove(tmp_path, "SP006", fast=True, driver="auto", roles=("realtime",))

    assert outcome(report, "SP006") == state
    assert "".join(finding.fix for finding in report.results[0].findings) == fix


@pytest.mark.bad("SP044")
@pytest.mark.good("SP044")
def test_what_lies_under_the_platforms_mounts_is_hidden(tmp_path: Path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text("pass\n")
    text = 'FROM scratch\nCOPY code /opt/ml/input\nENTRYPOINT ["python3", "/opt/ml/input/inference.py"]\n'
    folder(tmp_path, Dockerfile=text)

    report = prove(tmp_path, "SP044", fast=True, driver="auto")
    assert (outcome(report, "SP044"), causes(report, "SP044")) == (
        FAILED,
        "/opt/ml/input/inference.py is hidden by the platform's mount",
    )
    folder(tmp_path, Dockerfile=text.replace("/opt/ml/input", "/opt/ml/code"))
    assert outcome(prove(tmp_path, "SP044", fast=True, driver="auto"), "SP044") == PASSED


@pytest.mark.bad("SP033")
def test_a_driver_in_the_image_is_found(tmp_path: Path):
    folder(tmp_path, Dockerfile="FROM scratch\nCOPY libcuda.so.1 /usr/lib64/libcuda.so.1\n")
    (tmp_path / "libcuda.so.1").write_bytes(b"\x7fELF driver")

    report = prove(tmp_path, "SP033", fast=True, driver="auto", roles=("realtime",))
    assert causes(report, "SP033") == "/usr/lib64/libcuda.so.1 is in the image"


@pytest.mark.bad("SP032")
@pytest.mark.good("SP032")
def test_a_cuda_that_the_driver_does_not_know_is_found(tmp_path: Path):
    folder(tmp_path, Dockerfile="FROM scratch\nENV NVIDIA_REQUIRE_CUDA=cuda>=13.0\n")
    options: dict[str, object] = {"fast": True, "driver": "auto", "roles": ("realtime",)}

    assert "needs CUDA 13.0" in causes(prove(tmp_path, "SP032", instance_type="ml.g5.xlarge", **options), "SP032")
    assert outcome(prove(tmp_path, "SP032", **options), "SP032") == NOT_APPLICABLE
    folder(tmp_path, Dockerfile="FROM scratch\nENV NVIDIA_REQUIRE_CUDA=cuda>=12.1\n")
    assert outcome(prove(tmp_path, "SP032", instance_type="ml.g5.xlarge", **options), "SP032") == PASSED


@pytest.mark.bad("SP016")
@pytest.mark.good("SP016")
def test_gunicorn_and_nginx_that_give_up_early_are_found(tmp_path: Path):
    serve = "#!/bin/sh\nexec gunicorn -b 0.0.0.0:8080 app:app\n"
    conf = "http { server { location / { proxy_pass http://app; proxy_read_timeout 20s; } } }\n"
    folder(tmp_path, serve=serve, nginx_conf=conf)
    state, told = found(tmp_path, "SP016", invocation_seconds=60)

    assert state == WARNED
    assert "/opt/program/serve starts gunicorn without a timeout: it kills a worker after 30 s" in told
    assert "/opt/program/nginx.conf lets nginx give up after 20 s" in told
    folder(tmp_path, serve=serve.replace("-b", "--timeout 65 -b"), nginx_conf=conf.replace("20s", "2m"))
    assert found(tmp_path, "SP016", invocation_seconds=60)[0] == PASSED


@pytest.mark.parametrize(
    ("starts", "more", "told"),
    [
        (
            'ENTRYPOINT ["/usr/bin/gunicorn", "-b", ":8080", "app:app"]',
            "",
            "ENTRYPOINT starts gunicorn without a timeout",
        ),
        ('ENTRYPOINT ["gunicorn", "app:app"]', "ENV GUNICORN_CMD_ARGS='--timeout 90'", ""),
        ('ENTRYPOINT ["gunicorn", "-c", "conf.py", "app:app"]', "", ""),
        ('ENTRYPOINT ["gunicorn", "--threads", "4", "app:app"]', "", ""),
        ('ENTRYPOINT ["gunicorn", "-k", "gthread", "app:app"]', "", ""),
        ('ENTRYPOINT ["gunicorn", "--threads", "1", "app:app"]', "", "ENTRYPOINT starts gunicorn without a timeout"),
    ],
)
def test_gunicorn_is_seen_wherever_it_is_told_how_long_to_wait(tmp_path: Path, starts: str, more: str, told: str):
    text = f"FROM scratch\nWORKDIR /app\nCOPY conf.py .\n{more}\n{starts}\n"
    folder(tmp_path, Dockerfile=text, conf_py="bind = ':8080'\ntimeout = 120\n")
    options: dict[str, object] = {"fast": True, "driver": "auto", "roles": ("realtime",), "invocation_seconds": 60.0}
    found = causes(prove(tmp_path, "SP016", **options), "SP016")

    assert found.startswith(told)
    assert bool(found) == bool(told)


@pytest.mark.parametrize(
    ("member", "cause"),
    [
        (link("weights", "/opt/weights"), "member 'weights' is a symlink (to '/opt/weights')"),
        (link("copy", "a", tarfile.LNKTYPE), "member 'copy' is a hard link (to 'a')"),
        (("/etc/x", b"1"), "member '/etc/x' has an absolute path"),
        (("../x", b"1"), "member '../x' leads out of the folder with '..'"),
        (link("pipe", "", tarfile.FIFOTYPE), "member 'pipe' is a named pipe"),
    ],
)
@pytest.mark.bad("SP026")
def test_an_archive_that_hosting_refuses_names_the_member(tmp_path: Path, member: tarfile.TarInfo, cause: str):
    path = archive(tmp_path / "model.tar.gz", ("a", b"1"), member)

    assert found(path, "SP026") == (FAILED, cause)


@pytest.mark.bad("SP026")
@pytest.mark.good("SP026")
def test_an_archive_that_is_damaged_or_none_is_found(tmp_path: Path):
    path = archive(tmp_path / "model.tar.gz", ("a", bytes(range(256)) * 400), ("b", b"x" * 9))
    assert found(path, "SP026") == (PASSED, "")
    path.write_bytes(path.read_bytes()[:-30])
    assert "truncated or damaged" in found(path, "SP026")[1]
    plain = archive(tmp_path / "plain.tar.gz", ("a", b"1"), mode="w")
    assert found(plain, "SP026") == (FAILED, "the archive is a tar that is not gzipped")


@pytest.mark.bad("SP027")
@pytest.mark.good("SP027")
def test_an_archive_with_a_folder_too_much_or_files_of_macos_is_told(tmp_path: Path):
    extra = archive(tmp_path / "extra.tar.gz", ("income/model.joblib", b"1"), ("income/a.json", b"1"))
    macos = archive(tmp_path / "macos.tar.gz", ("model.bin", b"1"), ("._model.bin", b"1"))
    good = archive(tmp_path / "good.tar.gz", ("model.bin", b"1"), ("code/inference.py", b"1"))
    servo = archive(tmp_path / "servo.tar.gz", ("1/saved_model.pb", b"1"), ("1/variables/x", b"1"))

    assert found(extra, "SP027")[1] == ("all of it lies in one folder, so the container finds /opt/ml/model/income/...")
    assert "1 files of macOS's own are in it, such as ._model.bin" in found(macos, "SP027")[1]
    assert found(good, "SP027") == (PASSED, "")
    assert found(servo, "SP027") == (PASSED, "")


def test_an_image_over_the_limit_of_serverless_is_unchecked_for_a_folder(tmp_path: Path):
    folder(tmp_path, serve=server())

    assert found(tmp_path, "SP036", roles=("serverless",))[0] == UNCHECKED


ROLE = "arn:aws:iam::111122223333:role/sagemaker"
IN_VPC = {"RepositoryAccessMode": "Vpc"}
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/flowers:1"


def requests(path: Path, **bodies: object) -> Path:
    path.write_text(json.dumps(bodies))
    return path


def model(**fields: object) -> dict[str, object]:
    return {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE, **fields}}


@pytest.mark.bad("SP045")
@pytest.mark.good("SP045")
def test_a_request_that_the_api_refuses_is_told_in_its_words(tmp_path: Path):
    path = requests(tmp_path / "r.json", CreateModel={**model(), "ModelName": "my_model"}, CreateNothing={})
    state, told = found(path, "SP045")

    assert state == FAILED
    assert "Value 'my_model' at 'modelName' failed to satisfy constraint" in told
    assert "SageMaker has no operation CreateNothing" in told
    assert found(requests(tmp_path / "good.json", CreateModel=model()), "SP045")[0] == PASSED


@pytest.mark.bad("SP039")
@pytest.mark.good("SP039")
def test_an_image_of_another_region_or_account_is_told(tmp_path: Path):
    arn = "arn:aws:kms:us-east-1:111122223333:key/1"
    other = requests(tmp_path / "a.json", CreateModel={**model(), "Tags": [{"Key": "k", "Value": arn}]})
    hub = requests(tmp_path / "b.json", CreateModel=model(Image="docker.io/me/flowers"))
    vpc = requests(tmp_path / "v.json", CreateModel=model(Image="reg.corp/f", ImageConfig=IN_VPC))
    china = requests(tmp_path / "n.json", CreateModel=model(Image=IMAGE.replace("eu-west", "cn-north")))
    theirs = requests(tmp_path / "d.json", CreateModel=model(Image=IMAGE.replace("111122223333", "763104351884")))
    account = requests(tmp_path / "c.json", CreateModel={**model(), "ExecutionRoleArn": ROLE.replace("1111", "9999")})

    assert found(other, "SP039")[1] == "the image is in eu-west-1, the rest of the request in us-east-1"
    assert "docker.io/me/flowers is no ECR address" in found(hub, "SP039")[1]
    assert found(account, "SP039")[0] == WARNED
    assert found(vpc, "SP039")[0] == found(theirs, "SP039")[0] == PASSED
    assert found(china, "SP039")[1] == "registries in cn-north-1 end in amazonaws.com.cn"
    good = requests(tmp_path / "good.json", CreateModel=model())
    assert found(good, "SP039", region="us-east-1")[0] == FAILED
    assert found(good, "SP039")[0] == PASSED


@pytest.mark.bad("SP046")
@pytest.mark.good("SP046")
def test_a_model_data_source_where_none_is_taken_is_refused(tmp_path: Path):
    source = {"S3DataSource": {"S3Uri": "s3://b/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}}
    create = model(ModelDataSource=source)
    variant = {"VariantName": "v", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1}}
    path = requests(
        tmp_path / "r.json",
        CreateModel=create,
        CreateTransformJob={"ModelName": "m"},
        CreateEndpointConfig={"ProductionVariants": [variant]},
    )
    state, told = found(path, "SP046")

    assert state == FAILED
    assert "batch transform refuses the model m" in told
    assert "a serverless variant refuses the model m" in told
    assert found(requests(tmp_path / "good.json", CreateModel=create), "SP046")[0] == PASSED


@pytest.mark.bad("SP112")
@pytest.mark.good("SP112")
def test_containers_that_do_not_go_together_are_told(tmp_path: Path):
    multi = {"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": "s3://b/m"}
    path = requests(tmp_path / "r.json", CreateModel={"ModelName": "m", "Containers": [multi, multi]})
    state, told = found(path, "SP112")

    assert state == FAILED
    assert "only one container of a chain may have Mode MultiModel" in told
    assert found(requests(tmp_path / "good.json", CreateModel=model()), "SP112")[0] == PASSED


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{"CreateModel": {"ModelName": 3, "Containers": "x"}}', "Value 'x' at 'containers' failed to satisfy"),
        ('{"CreateEndpointConfig": {"ProductionVariants": {"a": 1}}}', "at 'productionVariants' failed to satisfy"),
        ('{"CreateTrainingJob": {"InputDataConfig": [3]}}', "Value '3' at 'inputDataConfig.1.member' failed"),
    ],
)
def test_a_request_of_the_wrong_types_is_told_and_breaks_nothing(tmp_path: Path, written: str, told: str):
    (tmp_path / "requests.json").write_text(written)
    report = prove(tmp_path / "requests.json", fast=True)

    assert told in causes(report, "SP045")
    assert [result.reason for result in report.results if result.blocks] == []


def test_a_target_that_is_nothing_says_what_could_be_named(tmp_path: Path):
    with pytest.raises(ProjectError, match="there is nothing to check in this folder"):
        prove(tmp_path, fast=True)
    with pytest.raises(ProjectError, match="there is no such file or folder"):
        prove(tmp_path / "gone.tar.gz", fast=True)
    with pytest.raises(SeaproofError, match="there is no check or family 'sp999'"):
        prove(tmp_path, "SP999", fast=True)
