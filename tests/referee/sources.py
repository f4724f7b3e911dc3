"""Which documents make up what an Airflow version serves, and the wheels that hold them."""

from __future__ import annotations

from typing import NamedTuple


class Wheel(NamedTuple):
    """One wheel, and the documents in it: path -> what stands before the paths of that document."""

    package: str
    version: str
    documents: dict[str, str]

    def __str__(self) -> str:
        return f"{self.package}=={self.version}"


_API_V1 = {"airflow/api_connexion/openapi/v1.yaml": "/api/v1"}
_API_V2 = {
    "airflow/api_fastapi/core_api/openapi/v2-rest-api-generated.yaml": "",
    "airflow/api_fastapi/auth/managers/simple/openapi/v2-simple-auth-manager-generated.yaml": "",
}
_FAB_IN_AIRFLOW = {"airflow/auth/managers/fab/openapi/v1.yaml": "/auth/fab/v1"}
_FAB_1 = {"airflow/providers/fab/auth_manager/openapi/v1.yaml": "/auth/fab/v1"}
# From 2.0 on FAB moves from Flask to FastAPI, noun by noun, and serves both until it is done. FastAPI is asked first.
_FAB_NEW = {"airflow/providers/fab/auth_manager/api_fastapi/openapi/v2-fab-auth-manager-generated.yaml": ""}
_FAB_BOTH = _FAB_NEW | {"airflow/providers/fab/auth_manager/openapi/v1-flask-api.yaml": "/auth/fab/v1"}


def _airflow_2(version: str, more: dict[str, str] | None = None) -> Wheel:
    return Wheel("apache-airflow", version, _API_V1 | (more or {}))


def _airflow_3(version: str) -> Wheel:
    return Wheel("apache-airflow-core", version, _API_V2)


def _fab(version: str, documents: dict[str, str]) -> Wheel:
    return Wheel("apache-airflow-providers-fab", version, documents)


# Each Airflow with a FAB of its time. In 2.7 it has no routes of its own, in 2.8 it is a part of Airflow's wheel.
SOURCES: dict[str, tuple[Wheel, ...]] = {
    "2.7.3": (_airflow_2("2.7.3"),),
    "2.8.4": (_airflow_2("2.8.4", _FAB_IN_AIRFLOW),),
    "2.9.3": (_airflow_2("2.9.3"), _fab("1.1.1", _FAB_1)),
    "2.10.5": (_airflow_2("2.10.5"), _fab("1.5.3", _FAB_1)),
    "2.11.2": (_airflow_2("2.11.2"), _fab("1.5.4", _FAB_1)),
    "3.0.6": (_airflow_3("3.0.6"), _fab("2.4.4", _FAB_BOTH)),
    "3.1.8": (_airflow_3("3.1.8"), _fab("3.2.0", _FAB_BOTH)),
    "3.2.2": (_airflow_3("3.2.2"), _fab("3.6.5", _FAB_NEW)),
    "3.3.2": (_airflow_3("3.3.2"), _fab("3.10.2", _FAB_NEW)),
}
VERSIONS = tuple(SOURCES)
