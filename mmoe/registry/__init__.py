"""Trained models: MLflow runs, registered versions, and which of them serves. The only mlflow import."""

from mmoe.registry.records import PromotionRecord, Records, VersionRecord, VersionRecords
from mmoe.registry.registry import Registry
from mmoe.registry.runs import UsedDay
from mmoe.registry.versions import Version

__all__ = ["PromotionRecord", "Records", "Registry", "UsedDay", "Version", "VersionRecord", "VersionRecords"]
