# Commands of this project; what takes more than a few lines lies in e2e/.
.PHONY: false-alarms

false-alarms: ## installs the charts below CHARTS=DIR signed, and lists every false alarm
	cargo build --locked --package charttrust --package charttrust-e2e --bins
	@cargo run --locked --quiet --package charttrust-e2e --bin false-alarms -- "$(CHARTS)" $(ARGS)
