# Everything happens in .venv, made from requirements.lock with uv when it is there and pip otherwise: docsim with all
# extras, the tests and the documentation. TensorFlow is published for Python 3.11 to 3.13.
ACCEPTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for one in python3 python3.13 python3.12 python3.11; do \
  "$$one" -c '$(ACCEPTED)' 2>/dev/null && echo "$$one" && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
CORPUS_INDEX := indexes/handbook
DATA ?= ../shared/data
TEACHER ?=

.PHONY: help demo serve check test test-all test-thorough coverage lint format docs docs-check lock bench clean

help: ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

demo: $(STAMP) ## index the sample handbook, ask it a few things, adapt it to the handbook and ask again
	$(BIN)/docsim index corpus/handbook --index $(CORPUS_INDEX)
	@echo
	@for question in "phone with company mail was stolen" "customer is furious and wants their money back" \
	    "who gets woken up when the database dies at night"; do \
	  echo "\$$ docsim query \"$$question\" -k 3"; \
	  $(BIN)/docsim query "$$question" -k 3 --index $(CORPUS_INDEX) || exit; echo; \
	done
	@echo "\$$ docsim similar operations/rollback-runbook.md -k 3"
	@$(BIN)/docsim similar operations/rollback-runbook.md -k 3 --index $(CORPUS_INDEX)
	@echo
	@$(BIN)/docsim status --index $(CORPUS_INDEX)
	@echo
	@echo "\$$ docsim adapt --time-limit 60"
	@$(BIN)/docsim adapt --time-limit 60 --index $(CORPUS_INDEX) --qrels corpus/related.qrels.txt \
	    --ask "firing someone this afternoon, cut their access" --ask "customer is leaving us, what about their data" \
	    --ask "are we building driver scoring or not"

	@echo
	@echo "To search it on a page:  make serve"

serve: $(STAMP) ## serve the sample handbook at http://127.0.0.1:8080/
	@test -d $(CORPUS_INDEX) || $(BIN)/docsim index corpus/handbook --index $(CORPUS_INDEX)
	$(BIN)/docsim serve --index $(CORPUS_INDEX) --watch corpus/handbook

check: lint ## style, types, layers and the quick tests: for every change, in under a minute
	$(BIN)/pytest -n auto --dist worksteal -m "not slow" -q

test: $(STAMP) ## run the tests that a change needs: a few minutes
	$(BIN)/pytest -n auto --dist worksteal -m "not thorough" -q

test-all: $(STAMP) ## run every test: the kills at every step, the long properties, each extra by itself
	$(BIN)/pytest -n auto --dist worksteal -m "not thorough and not properties" -q
	$(MAKE) test-thorough

coverage: $(STAMP) ## run the tests of make test, and fail where they cover less than pyproject.toml asks for
	$(BIN)/pytest -n auto --dist worksteal -m "not thorough" --cov --cov-report=term:skip-covered -q

test-thorough: $(STAMP) ## run what make test leaves out
	THOROUGH=1 $(BIN)/pytest -n auto --dist worksteal -m "thorough or properties" -q

lint: $(STAMP) ## check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## put every file into the one style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## write the generated parts of the documentation, and build the site into site/
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q

docs-check: $(STAMP) ## fail where a generated part of the documentation is not up to date
	$(BIN)/python docs/generate.py --check

lock: $(STAMP) ## choose versions of what is not locked yet; UPGRADE=--upgrade chooses the newest of everything
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --group docs --universal $(UPGRADE) --no-header -q \
	  -o requirements.lock

bench: $(STAMP) ## rerun the benchmarks (DATA=folder with the judged sets, TEACHER=folder of all-MiniLM-L6-v2)
	$(BIN)/python benchmarks/run.py --data $(DATA) $(if $(TEACHER),--teacher $(TEACHER))

clean: ## remove what was built here; indexes other than the sample's stay
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage $(CORPUS_INDEX)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(ACCEPTED)' || \
	  { echo "expected Python 3.11, 3.12 or 3.13, for which TensorFlow is published; name one: make PYTHON=python3.12"; exit 1; }
	@if command -v uv >/dev/null; then \
	  uv venv --allow-existing --seed -q --python "$$(command -v $(PYTHON))" .venv && \
	  VIRTUAL_ENV=.venv uv pip install -q -r requirements.lock && \
	  VIRTUAL_ENV=.venv uv pip install -q --no-deps -e . ; \
	else \
	  $(PYTHON) -m venv .venv && \
	  $(BIN)/pip install -q --disable-pip-version-check -r requirements.lock && \
	  $(BIN)/pip install -q --disable-pip-version-check --no-deps -e . ; \
	fi
	@touch $@
