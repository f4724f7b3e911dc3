"""Names as people write them: umlauts, spaces and a rocket wherever Airflow takes them; its run is given an odd id."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(
    dag_id="bestellungen.zuerich-1",
    dag_display_name="Bestellungen für Zürich 🚚",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["stories", "größe & maß"],
    default_args={"owner": "Logistik Süd"},
    description="Zählt die Bestellungen – täglich.",
)
def bestellungen():
    @task(task_id="zaehle.groesse-1", task_display_name="Größe zählen")
    def zaehle() -> None:
        raise ValueError("Straße fehlt in Zeile 7: «Größe 42» → 価格 unbekannt")

    zaehle()


bestellungen()
