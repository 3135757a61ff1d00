"""Checks of what a container has and may do: folders, network, users, memory, disk, processors, signals."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from containers import BINDS, archive, causes, folder, in_c, outcome, prove, server
from containers import judged as found

from seaproof.check.check import FAILED, PASSED, UNCHECKED, WARNED
from seaproof.check.java import reads_all

ROLES = ("realtime", "serverless")


@pytest.mark.bad("SP034")
def test_a_program_that_writes_to_its_model_folder_is_found(tmp_path: Path):
    writes = server(start="open('/opt/ml/model/cache', 'w').write('x')")

    assert found(tmp_path, "SP034", writes) == (FAILED, "it comes up only where it may write to /opt/ml/model")


@pytest.mark.bad("SP038")
def test_a_program_that_downloads_at_its_start_is_told(tmp_path: Path):
    (tmp_path / "seaproof.toml").write_text(BINDS)
    looks = (
        "routes = open('/proc/net/route').read().splitlines()[1:]\n"
        "if not routes: sys.exit('URLError: Network is unreachable')"
    )
    state, told = found(tmp_path, "SP038", server(start=looks))

    assert (state, told) == (
        WARNED,
        "it comes up only with a way to the internet: not isolated, and not in a VPC without NAT",
    )


@pytest.mark.bad("SP035", "SP134")
def test_a_program_that_needs_shared_memory_or_its_own_user_is_told(tmp_path: Path):
    shares = server(start="import multiprocessing\nmultiprocessing.Semaphore()")
    roots = server(start="open('/var/log/mine', 'w') if os.getuid() == 0 else sys.exit('root only')")

    assert found(tmp_path / "a", "SP035", shares)[0] == WARNED
    assert found(tmp_path / "b", "SP134", roots)[0] == FAILED


@pytest.mark.bad("SP040")
def test_a_program_that_mounts_is_found(tmp_path: Path):
    mounts = "#!/bin/sh\nmount -t tmpfs none /mnt || { echo 'mount: Operation not permitted'; exit 1; }\n"

    assert found(tmp_path, "SP040", mounts)[0] == FAILED


@pytest.mark.bad("SP017")
@pytest.mark.good("SP017")
def test_a_program_that_takes_too_much_memory_is_found(tmp_path: Path):
    hungry = server(start="taken = b'x' * (200 << 20); time.sleep(1)")
    state, told = found(tmp_path, "SP017", hungry, memory=64 << 20, patience=8)

    assert state == FAILED
    assert "`serve` took more than the 64 MiB that it has here; it comes up with" in told
    assert found(tmp_path, "SP017", hungry)[0] == PASSED


@pytest.mark.parametrize(
    ("crash", "cause"),
    [("*(volatile int *)0 = 1;", "SIGSEGV"), ('__asm__("ud2");', "SIGILL"), ("__builtin_trap();", "SIGILL")],
)
@pytest.mark.bad("SP018")
def test_a_crash_in_native_code_is_explained(tmp_path: Path, crash: str, cause: str):
    report = prove(in_c(tmp_path, f"int main(void) {{ {crash} return 0; }}"), "SP018", roles=ROLES)

    assert cause in causes(report, "SP018")


@pytest.mark.bad("SP133")
def test_a_program_that_wants_a_gpu_is_found(tmp_path: Path):
    wants = "#!/bin/sh\necho 'ImportError: libcuda.so.1: cannot open shared object file: No such file' >&2; exit 1\n"

    assert found(tmp_path, "SP133", wants)[0] == FAILED


@pytest.mark.bad("SP037")
def test_a_disk_that_is_filled_is_found_and_the_program_stopped(tmp_path: Path):
    fills = "#!/bin/sh\nexec dd if=/dev/zero of=/tmp/filled bs=1M status=none\n"
    full = "#!/bin/sh\necho 'OSError: [Errno 28] No space left on device'; exit 1\n"

    assert "it writes without end" in found(tmp_path, "SP037", fills)[1]
    assert found(tmp_path, "SP037", full)[0] == FAILED


@pytest.mark.bad("SP137")
def test_a_program_that_prints_without_end_is_stopped(tmp_path: Path):
    assert found(tmp_path, "SP137", "#!/bin/sh\nexec yes\n", patience=20)[0] == FAILED


@pytest.mark.bad("SP052")
def test_a_second_start_that_trips_over_the_first_is_found(tmp_path: Path):
    locks = server(start="os.makedirs('/opt/ml/lock')")

    assert found(tmp_path, "SP052", locks)[0] == FAILED


@pytest.mark.bad("SP106")
def test_a_program_that_ignores_sigterm_is_told(tmp_path: Path):
    ignores = server(start="signal.signal(signal.SIGTERM, signal.SIG_IGN)").replace(
        "signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))", ""
    )

    assert found(tmp_path, "SP106", ignores) == (WARNED, "it did not end within 1.5 s of SIGTERM, and was killed")


@pytest.mark.bad("SP127")
@pytest.mark.good("SP127")
def test_a_missing_file_of_the_model_is_told_with_where_it_lies(tmp_path: Path):
    loads = server(start="open('/opt/ml/model/weights.bin').read()")
    wrong = archive(tmp_path / "wrong.tar.gz", ("flowers/weights.bin", b"1"), ("flowers/b", b"1"))
    right = archive(tmp_path / "right.tar.gz", ("weights.bin", b"1"))

    assert found(tmp_path / "c", "SP127", loads, model=wrong)[1] == (
        "it looks for /opt/ml/model/weights.bin, and it lies at flowers/weights.bin of the model given"
    )
    assert found(tmp_path / "c", "SP127", loads, model=right)[0] == PASSED
    assert found(tmp_path / "c", "SP127", loads)[0] == UNCHECKED


JAVA = """
import com.sun.net.httpserver.*;
import java.net.*;
public class Main {
  public static void main(String[] words) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress(8080), 64);
    server.createContext("/", exchange -> {
      byte[] body = exchange.getRequestBody().readAllBytes();
      exchange.getResponseHeaders().add("Content-Type", "text/csv");
      exchange.sendResponseHeaders(200, body.length == 0 ? -1 : body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.setExecutor(java.util.concurrent.Executors.newFixedThreadPool(8));
    server.start();
  }
}
"""


@pytest.mark.bad("SP049")
@pytest.mark.good("SP049")
def test_a_jvm_that_counts_its_processors_by_its_share_is_told(tmp_path: Path):
    folder(tmp_path, Main_java=JAVA)
    subprocess.run(["javac", "-d", str(tmp_path), str(tmp_path / "Main.java")], check=True)

    run = "#!/bin/sh\nexec java -Xshare:auto -XX:TieredStopAtLevel=1 {} -cp /opt/program Main\n"
    shares = run.format("-XX:+UseContainerCpuShares")
    assert found(tmp_path, "SP049", shares, patience=15)[0] == WARNED
    assert found(tmp_path, "SP049", run.format(""), patience=15)[0] == PASSED  # a release that counts all of them


def test_releases_of_the_jvm_that_read_a_share_as_one_processor_are_known():
    assert all(map(reads_all, ("17.0.5", "17.0.15", "11.0.17", "1.8.0_372", "19", "21.0.1")))
    assert not any(map(reads_all, ("17.0.4.1", "11.0.16", "1.8.0_362", "18.0.2", "12.0.1", "")))


@pytest.mark.bad("SP105")
def test_an_instance_type_that_is_too_small_is_told(tmp_path: Path):
    folder(tmp_path, serve=server())
    report = prove(tmp_path, "SP105", roles=ROLES)

    assert outcome(report, "SP105") == PASSED
    assert outcome(prove(tmp_path, "SP105", roles=ROLES, serverless_memory=8 << 20), "SP105") == WARNED
    assert "the smallest instance type that holds it is ml.t2.medium" in report.notes[0]
