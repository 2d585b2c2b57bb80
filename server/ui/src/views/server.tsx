import { Empty } from '../parts/notes';

export function Server() {
  return <Empty>Not built yet.</Empty>;
}
