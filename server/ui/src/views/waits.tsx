import { Empty } from '../parts/notes';

export function Waits() {
  return <Empty>Not built yet.</Empty>;
}
