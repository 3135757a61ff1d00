"""Trains by a config: from the channel's files to the model with its schema, the metrics and the report.

model/          the model in its library's own format, schema.json
output/data/    metrics.json, report.html
"""

from __future__ import annotations

import time

from seaproof.contract.training_config.flat import unflatten
from seaproof.contract.training_config.meaning import TrainingConfig, read_config
from seaproof.contract.training_config.metric_lines import TRAIN
from seaproof.errors import ContractError
from seaproof.formats.schema import Field
from seaproof.training.algorithms import Fitted, Setup, check_params
from seaproof.training.fitting import cross_validate, fit_rows, outcome_of
from seaproof.training.importance import importance
from seaproof.training.job import Job
from seaproof.training.measures.scores import Outcome, measure
from seaproof.training.prepared import Prepared, prepare
from seaproof.training.results import REPORT_FILE, save_model, say, say_metrics, versions, write_metrics
from seaproof.training.tables import refuse, typed


def train_by_config(job: Job) -> None:
    """Run a job whose hyperparameters are a config. ContractError for all that its author can mend."""
    started = time.monotonic()
    if not job.is_leader:
        say(f"a training by config runs on one host, {job.cluster.hosts[0]}; {job.current_host} has nothing to do")
        return
    config, problems = read_config(unflatten(job.raw_hyperparameters))
    refuse(problems)
    _check_hosts(job)
    check_params(config.algorithm, config.task, config.model_params)
    prepared = prepare(job, config)
    setup = Setup(
        algorithm=config.algorithm,
        params=config.model_params,
        fields=prepared.columns.fields,
        classes=prepared.classes,
        seed=config.seed,
        stopping_rounds=config.stopping_rounds,
        validation=config.split.validation,
    )
    metrics: dict[str, float] = {}
    if config.folds:
        metrics.update(cross_validate(setup, prepared, config))
    say(f"training {config.algorithm} on {len(prepared.train):,} rows and {len(setup.fields)} columns")
    fitted = fit_rows(setup, prepared, config, prepared.train)
    if fitted.rounds is not None:
        say(f"{fitted.rounds} rounds were built and kept")
    train_outcome = outcome_of(fitted, prepared, prepared.train, fitted_to=True)
    metrics.update({f"{TRAIN}{name}": value for name, value in measure(train_outcome, config.metrics).items()})
    test_outcome = outcome_of(fitted, prepared, prepared.test) if len(prepared.test) else None
    if test_outcome:
        metrics.update(measure(test_outcome, config.metrics))
    else:
        say("no rows were kept to measure on: train:* metrics are those of rows that the model has seen")
    save_model(fitted, setup, config, list(prepared.raw.columns), job.model_dir)
    say_metrics(metrics)
    _report(job, config, prepared, setup, fitted, metrics, test_outcome or train_outcome)
    write_metrics(job.output_data_dir, metrics, config, setup, prepared_rows(prepared))
    say(f"done after {time.monotonic() - started:.1f} s")


def _check_hosts(job: Job) -> None:
    """Say that further hosts do nothing; ContractError where they hold rows that would then be missing."""
    if len(job.hosts) == 1:
        return
    sharded = next((name for name, one in job.channels.items() if one.distribution == "ShardedByS3Key"), "")
    if sharded:
        raise ContractError(
            f"the channel {sharded} is spread over {len(job.hosts)} hosts, and a training by config runs on one",
            where="inputdataconfig.json",
            next_step="Set InstanceCount to 1, or S3DataDistributionType to FullyReplicated.",
        )
    say(
        f"a training by config runs on one host: {job.current_host} trains, the other {len(job.hosts) - 1} of "
        f"{len(job.hosts)} hosts do nothing; InstanceCount 1 costs less and is as fast"
    )


def _report(
    job: Job,
    config: TrainingConfig,
    prepared: Prepared,
    setup: Setup,
    fitted: Fitted,
    metrics: dict[str, float],
    measured: Outcome,
) -> None:
    """Write report.html."""
    from seaproof.training.report.columns import look_at
    from seaproof.training.report.page import Told, page

    learned = prepared.frame.iloc[prepared.train]
    rows = prepared.test if len(prepared.test) else prepared.train
    target = prepared.raw[[config.target]].iloc[prepared.train]
    field = Field(config.target, "str" if setup.classes else "float")
    told = Told(
        target=config.target,
        algorithm=config.algorithm,
        config=unflatten(job.raw_hyperparameters),
        metrics=metrics,
        measured=measured,
        on_test=len(prepared.test) > 0,
        rows=prepared_rows(prepared),
        importance=importance(fitted, prepared.frame.iloc[rows], measured, config.seed),
        target_look=look_at(field, typed(target, [field])[config.target]),
        looks=[look_at(one, learned[one.name]) for one in setup.fields],
        notes=prepared.columns.notes,
        versions=versions(setup),
    )
    (job.output_data_dir / REPORT_FILE).write_text(page(told), encoding="utf-8")
    say(f"report: {REPORT_FILE}, in the job's output")


def prepared_rows(prepared: Prepared) -> dict[str, int]:
    """How many rows were learned from and measured on."""
    return {"train": len(prepared.train), "test": len(prepared.test)}
