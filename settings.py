"""Settings: one frozen object, built once per process and handed down; nothing else reads the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting is an environment variable with the prefix `TESSERA_`; units stand last in the names.

    Unset addresses mean: the embedded part that `tessera up` starts under `data_dir`.
    """

    model_config = SettingsConfigDict(env_prefix="TESSERA_", frozen=True, extra="ignore")

    data_dir: Path = Path(".tessera")

    database_url: str | None = Field(None, description="PostgreSQL as the owner (migrations); unset: embedded.")
    api_database_url: str | None = Field(None, description="PostgreSQL as the API's role.")
    worker_database_url: str | None = Field(None, description="PostgreSQL as the worker's role.")
    database_pool_max: int = Field(16, ge=1, le=500, description="Connections per process.")

    temporal_address: str | None = Field(None, description="host:port of Temporal; unset: embedded.")
    temporal_namespace: str = "default"
    temporal_ui_url: str = "http://127.0.0.1:8233"
    temporal_retention_days: int = Field(90, ge=1)

    api_host: str = "127.0.0.1"
    api_port: int = 8000
    api_url: str = Field("http://127.0.0.1:8000", description="Where suppliers' callbacks reach the API.")
    place_timeout_s: float = Field(5.0, gt=0, description="How long placing waits before it answers 202.")
    max_orders_in_flight: int = Field(16, ge=1, description="Placements at once per API process; more wait.")

    simulator_host: str = "127.0.0.1"
    simulator_port: int = 8090
    carrier_simulator_port: int = 8091
    topup_simulator_port: int = 8092
    payment_simulator_port: int = 8093

    worker_metrics_host: str = Field("127.0.0.1", description="Address of a worker's metrics.")
    worker_metrics_port: int | None = None
    worker_activities: int = Field(100, ge=1, description="Concurrent activities (and local ones) per worker.")
    worker_cached_workflows: int = Field(2000, ge=0, description="Workflows kept in memory per worker.")
    worker_sandboxed: bool = Field(False, description="Run workflows in the sandbox: on in tests, off for speed.")

    pepper: SecretStr = Field(SecretStr("development-pepper"), description="Keys the HMAC of API keys' secrets.")
    cursor_secret: SecretStr = Field(SecretStr("development-cursor"), description="Signs list cursors.")
    ticket_keys: SecretStr = Field(
        SecretStr("development-tickets"), description="Secrets by commas: the first signs tickets, all are accepted."
    )

    @property
    def kind_places(self) -> tuple[str, ...]:
        """Where the kinds of other packages are."""
        return _places(self.kinds)

    @property
    def channel_places(self) -> tuple[str, ...]:
        """Where the payment channels' protocols of other packages are."""
        return _places(self.channels)

    log_format: Literal["json", "pretty"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    kinds: str = Field("", description="Kinds of other packages, `package.module:Class` with commas between them.")
    channels: str = Field("", description="Channel protocols of other packages, `package.module:NAME`, by commas.")

    lock_s: int = Field(900, ge=1, description="How long a locked order is held.")
    lock_ceiling_s: int = Field(3600, ge=1, description="How far a hold may be extended, from when it was locked.")
    review_s: int = Field(86_400, ge=1, description="How long a parked order waits for an operator's review.")
    confirm_wait_s: float = Field(2.0, ge=0, le=30, description="How long confirm waits by default.")
    promise_s: int = Field(3600, ge=1, description="Promise for tickets: by then issued, refunded or with an operator.")

    def simulator_url(self, simulator: str = "supplier") -> str:
        """Where a simulator of `embedded.stack.SIMULATORS` listens."""
        return f"http://{self.simulator_host}:{getattr(self, port_setting(simulator))}"


def _places(text: str) -> tuple[str, ...]:
    return tuple(place.strip() for place in text.split(",") if place.strip())


def port_setting(simulator: str) -> str:
    """The setting that has a simulator's port."""
    return "simulator_port" if simulator == "supplier" else f"{simulator}_simulator_port"
