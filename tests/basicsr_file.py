"""An option file as people have it for BasicSR."""

# The layout of BasicSR's own EDSR files, with a network of any scale.
FILE = """
name: as_people_have_it
model_type: SRModel
scale: 2
num_gpu: 1
manual_seed: 10
datasets:
  train:
    name: DIV2K
    type: PairedImageDataset
    dataroot_gt: hr
    dataroot_lq: lr
    meta_info_file: ~
    filename_tmpl: '{}'
    io_backend: {type: disk}
    gt_size: 16
    use_hflip: true
    use_rot: false
    use_shuffle: true
    num_worker_per_gpu: 0
    batch_size_per_gpu: 2
    dataset_enlarge_ratio: 4
    prefetch_mode: cpu
    num_prefetch_queue: 2
  val:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: hr
    dataroot_lq: lr
    io_backend: {type: disk}
    use_shuffle: false
    num_worker_per_gpu: 1
    batch_size_per_gpu: 1
path: {pretrain_network_g: ~, strict_load_g: true, resume_state: ~}
train:
  ema_decay: 0.999
  optim_g: {type: Adam, lr: !!float 1e-4, weight_decay: 0, betas: [0.9, 0.99]}
  scheduler: {type: MultiStepLR, milestones: [2], gamma: 0.5}
  total_iter: 4
  warmup_iter: -1
  pixel_opt: {type: L1Loss, loss_weight: 1.0, reduction: mean}
val:
  val_freq: !!float 2
  save_img: false
  pbar: false
  metrics:
    psnr: {type: calculate_psnr, crop_border: 2, test_y_channel: true}
logger:
  print_freq: 1
  save_checkpoint_freq: !!float 2
  use_tb_logger: false
  wandb: {project: ~, resume_id: ~}
dist_params: {backend: nccl, port: 29500}
"""
