import { Empty } from '../parts/notes';

export function FlameGraph() {
  return <Empty>Not built yet.</Empty>;
}
