-- Nothing to do: the embedded store is one file. The numbers stay the same in both stores.
SELECT 1;
