def train(job):
    rows = [line for file in job.files("train", "*") for line in file.read_text().splitlines()]
    print(f"rows={len(rows)};")
    (job.model_dir / "factor").write_text(job.hyperparameter("factor", str))
