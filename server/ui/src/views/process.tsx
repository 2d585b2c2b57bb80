import { Empty } from '../parts/notes';

export function Process() {
  return <Empty>Not built yet.</Empty>;
}
