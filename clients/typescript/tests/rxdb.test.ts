import { scenarios } from "./scenarios.js";

scenarios("RxDB", ["rxdb", "rxdb", "rxdb"]);
