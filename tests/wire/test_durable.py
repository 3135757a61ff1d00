"""What outlives a kill: 200 creates at once, and the server killed in the middle of them."""

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor

from wire_lab import ROLE, local_server, service, start, wait_until_up

from seaproof.errors import SeaproofError

COUNT = 200
VARIANT = {"VariantName": "all", "ModelName": "base", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
TAGS = [{"Key": "k", "Value": "v"}]


def request_of(number):
    """Every other one a model, and a configuration; both with tags, which are rows of their own."""
    if number % 2:
        container = {"Image": f"image-{number}", "Environment": {"NUMBER": str(number)}}
        return "CreateModel", {
            "ModelName": f"m-{number}",
            "ExecutionRoleArn": ROLE,
            "PrimaryContainer": container,
            "Tags": TAGS,
        }
    return "CreateEndpointConfig", {
        "EndpointConfigName": f"c-{number}",
        "ProductionVariants": [VARIANT],
        "Tags": TAGS,
    }


def shows(record, request):
    """Whether a record has all that its request said."""
    if "ModelName" in request:
        return record["PrimaryContainer"].items() >= request["PrimaryContainer"].items()
    return record["ProductionVariants"][0].items() >= VARIANT.items()


def test_after_a_kill_in_the_middle_each_record_is_whole_or_not_there(tmp_path):
    process = start(tmp_path)
    answered = {}
    begun = threading.Semaphore(0)

    def create(number, client):
        operation, request = request_of(number)
        begun.release()
        try:
            client.call(operation, request)
            answered[number] = True
        except (SeaproofError, http.client.HTTPException, OSError):
            answered[number] = False

    with wait_until_up(tmp_path, process) as client, ThreadPoolExecutor(32) as threads:
        client.call("CreateModel", {"ModelName": "base", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "i"}})
        running = [threads.submit(create, number, client) for number in range(COUNT)]
        for _ in range(COUNT // 4):
            begun.acquire()
        process.kill()
        process.wait()
        for future in running:
            future.result()

    with local_server(tmp_path) as client:
        found = {}
        for number in range(COUNT):
            operation, request = request_of(number)
            key = next(iter(request))
            try:
                found[number] = client.call(operation.replace("Create", "Describe"), {key: request[key]})
            except SeaproofError:
                found[number] = None
        whole = [number for number, record in found.items() if record]
        tags = {
            number: client.call(
                "ListTags", {"ResourceArn": found[number].get("ModelArn") or found[number]["EndpointConfigArn"]}
            )
            for number in whole
        }

    assert [number for number, came in answered.items() if came and not found[number]] == []
    assert 0 < len(whole) < COUNT
    assert [number for number in whole if not shows(found[number], request_of(number)[1])] == []
    assert all(answer["Tags"] == TAGS for answer in tags.values())


def test_what_was_made_in_moto_is_there_after_a_kill_as_it_was(tmp_path):
    process = start(tmp_path)
    policy = '{"Version": "2012-10-17", "Statement": []}'

    def seen(client):
        iam, ecr, sns = (service(name, client.url) for name in ("iam", "ecr", "sns"))
        return {
            "role": iam.get_role(RoleName="trainer")["Role"],
            "unmade": iam.get_role(RoleName="of-a-program")["Role"],
            "keys": iam.list_access_keys(UserName="ann")["AccessKeyMetadata"],
            "roles": iam.list_roles()["Roles"],
            "repositories": ecr.describe_repositories()["repositories"],
            "topics": sns.list_topics()["Topics"],
            "subscriptions": sns.list_subscriptions()["Subscriptions"],
        }

    with wait_until_up(tmp_path, process) as client:
        iam, ecr, sns = (service(name, client.url) for name in ("iam", "ecr", "sns"))
        iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=policy, Tags=[{"Key": "k", "Value": "v"}])
        iam.create_role(RoleName="gone", AssumeRolePolicyDocument=policy)
        iam.delete_role(RoleName="gone")
        iam.create_user(UserName="ann")
        iam.create_access_key(UserName="ann")
        ecr.create_repository(repositoryName="mine/model")
        topic = sns.create_topic(Name="news")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ann@localhost")
        before = seen(client)
        process.kill()
        process.wait()
    journal = tmp_path / ".seaproof" / "moto.jsonl"
    mode = journal.stat().st_mode & 0o777
    # The kill may come in the middle of a line.
    with journal.open("ab") as file:
        file.write(b'{"time": 17')
    with local_server(tmp_path) as client:
        after = seen(client)
        service("sns", client.url).create_topic(Name="later")
    with local_server(tmp_path) as client:
        topics = service("sns", client.url).list_topics()["Topics"]

    assert after == before
    assert {role["RoleName"] for role in before["roles"]} == {"trainer", "of-a-program"}
    assert len(topics) == 2
    assert mode == 0o600


def test_buckets_and_objects_written_at_once_are_whole_after_a_kill(tmp_path):
    process = start(tmp_path)
    body = b"0123456789" * 20_000
    with wait_until_up(tmp_path, process) as client:
        s3 = service("s3", client.url)
        s3.create_bucket(Bucket="killed")
        s3.put_object(Bucket="killed", Key="first", Body=body)

        def put(number):
            try:
                s3.put_object(Bucket="killed", Key=f"k/{number}", Body=body, Metadata={"n": str(number)})
                return number
            except Exception:
                return None

        with ThreadPoolExecutor(8) as threads:
            puts = [threads.submit(put, number) for number in range(100)]
            puts[5].result()
            process.kill()
            process.wait()
            stored = {future.result() for future in puts} - {None}
    with local_server(tmp_path) as client:
        s3 = service("s3", client.url)
        found = {entry["Key"]: entry["Size"] for entry in s3.list_objects_v2(Bucket="killed")["Contents"]}
        heads = {number: s3.head_object(Bucket="killed", Key=f"k/{number}") for number in stored}

    assert {f"k/{number}" for number in stored} <= set(found)
    assert set(found.values()) == {len(body)}
    assert all(head["Metadata"] == {"n": str(number)} for number, head in heads.items())
