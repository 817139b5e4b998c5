-- Nothing to do: what this version changes is how the embedded store searches. The numbers stay the same in both stores.
SELECT 1;
